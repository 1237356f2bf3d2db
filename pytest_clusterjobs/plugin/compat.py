"""Every private name of pytest and of other plugins that the plugin uses, and why; ``api/project.py`` has one more."""

from __future__ import annotations

import sys
from collections.abc import Collection
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import time as _time
from typing import Any
from typing import Literal

import pytest

from ..model.records import Xfail
from .marks import JUDGING
from .marks import names_of


@dataclass(frozen=True, slots=True)
class Marked:
    """What an item's skip, skipif and xfail marks come to now."""

    left_out: tuple[Literal["skip", "xfail"], str] | None = None
    """The mark that keeps the item from running, and its reason."""
    xfail: Xfail | None = None
    """The xfail mark in force on an item that runs."""
    raises: Any = None
    """What that mark expects, as it says so itself."""
    trouble: bool = False
    """Whether a condition cannot be evaluated; the item's own setup reports it."""

    @property
    def runs(self) -> bool:
        """Whether the item will run."""
        return self.left_out is None and not self.trouble


def marked(item: pytest.Item) -> Marked:
    """Evaluate an item's skip, skipif and xfail marks.

    pytest evaluates the marks in the item's own setup; submission has to know before. Without the
    private helpers, any such mark counts: a job is then not submitted ahead, never submitted wrongly.
    """
    if not any(item.get_closest_marker(name) for name in JUDGING):
        return Marked()
    try:
        from _pytest.skipping import evaluate_skip_marks
        from _pytest.skipping import evaluate_xfail_marks
    except ImportError:
        return Marked(trouble=True)
    try:
        skipped, found = evaluate_skip_marks(item), evaluate_xfail_marks(item)
    except (pytest.fail.Exception, TypeError):
        # A mark that cannot be evaluated is this item's error, which its own setup reports.
        return Marked(trouble=True)
    if skipped is not None:
        return Marked(left_out=("skip", skipped.reason))
    if found is None or getattr(item.config.option, "runxfail", False):
        return Marked()
    if not found.run:
        return Marked(left_out=("xfail", found.reason))
    return Marked(xfail=Xfail(found.reason, bool(found.strict), names_of(found.raises)), raises=found.raises)


_LOADED_AS = {
    "dependency": "pytest_dependency",
    "pytest-retry": "pytest_retry.retry_plugin",
    "pytest_ordering": "pytest_ordering",
    "repeat": "pytest_repeat",
    "rerunfailures": "pytest_rerunfailures",
    "timeout": "pytest_timeout",
}
"""The names of other plugins' entry points, and their modules, which ``-p`` takes as well."""


def has_plugin(config: pytest.Config, name: str) -> bool:
    """Whether another plugin is at work, by the name of its entry point, however it was loaded."""
    manager = config.pluginmanager
    return manager.hasplugin(name) or manager.hasplugin(_LOADED_AS[name])


def keep_from_rerunning(item: pytest.Item) -> None:
    """Tell pytest-rerunfailures and pytest-retry that this item is run once, whatever option or mark says.

    They run an item again at once, and would be shown the end of the same job each time: a job's second
    chance is another job, which the engine submits (see ``reruns_of``). The closest mark wins over the option.
    """
    if has_plugin(item.config, "rerunfailures") or has_plugin(item.config, "pytest-retry"):
        item.add_marker(pytest.mark.flaky(reruns=0, condition=False), append=False)


_FILTERS = frozenset({"only_rerun", "rerun_except", "condition", "only_on", "exclude"})
"""What ``flaky`` marks say of exceptions."""


def reruns_of(item: pytest.Item, own: Collection[str]) -> int:
    """How often a ``flaky`` mark of pytest-rerunfailures or pytest-retry wants this item run again.

    The mark has to be the item's own: ``--reruns`` and ``--retries`` are said of tests that cost nothing;
    ``own`` are the names of the marks that are, as the latter adds one to each item. Marks with a condition
    or with filters on exceptions count as none, since they are about what a test raises.
    """
    mark = item.get_closest_marker("flaky")
    if mark is None or _FILTERS & mark.kwargs.keys():
        return 0
    if "retries" in mark.kwargs and has_plugin(item.config, "pytest-retry"):
        return int(mark.kwargs["retries"]) if mark.name in own else 0
    if not has_plugin(item.config, "rerunfailures"):
        return 0
    try:
        from pytest_rerunfailures import get_reruns_count
    except ImportError:
        return 0
    return max(0, get_reruns_count(item) or 0)


def timeout_of(item: pytest.Item) -> float | None:
    """pytest-timeout's effective limit for this item in seconds: marker, option, environment or ini.

    Read when the job is submitted, because the plugin's own hooks come only when it is over.
    """
    if has_plugin(item.config, "timeout"):
        try:
            from pytest_timeout import _get_item_settings
        except ImportError:
            pass
        else:
            limit: float | None = _get_item_settings(item).timeout
            return limit if limit is not None and limit > 0 else None
    mark = item.get_closest_marker("timeout")
    if mark is None:
        return None
    value = mark.args[0] if mark.args else mark.kwargs.get("timeout")
    return float(value) if value else None


_SCOPES = ("function", "class", "module", "package", "session")
"""From the narrowest to the widest."""


def fixture_mistakes(info: Any) -> Iterator[str]:
    """What is wrong with the fixtures of an item that nothing parametrizes, by what pytest has worked out for it."""
    known = info.name2fixturedefs
    for name in info.names_closure:
        if name in known:
            if known[name][-1].params is not None:
                yield f"fixture {name!r} is parametrized, and no cell has parameters: name one that is not"
        elif name != "request":
            yield f"fixture {name!r} not found: see pytest --fixtures for those that there are"
    seen: set[tuple[str, int]] = set()
    for name in info.initialnames:
        if name in known:
            yield from _mistakes_below(known, (name,), seen)


def _mistakes_below(known: Any, chain: tuple[str, ...], seen: set[tuple[str, int]]) -> Iterator[str]:
    """The same of what the last fixture of ``chain`` asks for; one that asks for its own name gets the one it overrides."""
    name, times = chain[-1], chain.count(chain[-1])
    if (name, times) in seen:
        return
    seen.add((name, times))
    asking = known[name][-times]
    for other in asking.argnames:
        depth = chain.count(other) + 1
        if other not in known:
            continue
        if depth > len(known[other]):
            yield f"fixture {other!r} asks for itself: {' -> '.join((*chain, other))}"
        elif _SCOPES.index(known[other][-depth].scope) < _SCOPES.index(asking.scope):
            yield (
                f"fixture {name!r} has the scope {asking.scope} and asks for {other!r}, which has the scope"
                f" {known[other][-depth].scope}: give {other!r} the scope {asking.scope}"
            )
        else:
            yield from _mistakes_below(known, (*chain, other), seen)


def notice_session_timeout(session: pytest.Session) -> None:
    """Let pytest-timeout's ``--session-timeout`` act while jobs are waited for; it looks only after an item."""
    if not has_plugin(session.config, "timeout"):
        return
    try:
        from pytest_timeout import SESSION_EXPIRE_KEY
        from pytest_timeout import SESSION_TIMEOUT_KEY
    except ImportError:
        return
    expires = session.config.stash.get(SESSION_EXPIRE_KEY, 0.0)
    if expires and expires < _time():
        session.shouldfail = f"session-timeout: {session.config.stash[SESSION_TIMEOUT_KEY]} sec exceeded"


def configuration_in(folder: Path) -> Path | None:
    """The file that has a folder's own configuration of pytest: with arguments in there alone, rootdir is the folder.

    Without the private name there is none, and a matrix is taken for one of the session's project.
    """
    try:
        from _pytest.config.findpaths import locate_config
    except ImportError:
        return None
    root, path, *_ = locate_config(folder, [folder])
    return path if root == folder else None


def inapplicable(config: pytest.Config) -> list[str]:
    """What other plugins' options ask for and cells cannot give, a line each."""
    count = getattr(config.option, "count", 1)
    if has_plugin(config, "repeat") and isinstance(count, int) and count > 1:
        return [
            f"--count {count} does not apply to cells: each ran once (an axis of the matrix repeats them)"
        ]
    return []


def stop_naming_files(config: pytest.Config) -> None:
    """Keep the terminal from starting a new line with the file's name at each switch of files.

    In completion order that would be a line per dot.
    """
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not reporter.verbosity > 0:
        reporter.ensure_newline()
        reporter.showfspath = False


def terminal_of(config: pytest.Config) -> tuple[Any, Any]:
    """The writer of pytest's reporter, and the stream that it writes to.

    Without the private name the stream is taken to be stdout, as it is unless a plugin has another one made.
    """
    writer: Any = config.get_terminal_writer()
    return writer, getattr(writer, "_file", sys.stdout)


def set_suite_time(config: pytest.Config, started: float, ended: float | None) -> None:
    """Date pytest's JUnit XML to a run of the past: seconds since the epoch.

    The writer takes the time at which its session starts. Without the private names the file has the
    time of its rebuilding, and the cases have theirs all the same.
    """
    try:
        from _pytest.junitxml import xml_key
        from _pytest.timing import Instant
        from _pytest.timing import perf_counter
    except ImportError:
        return
    writer = config.stash.get(xml_key, None)
    if writer is not None:
        instant = Instant()
        object.__setattr__(instant, "time", started)
        object.__setattr__(instant, "perf_count", perf_counter() - ((ended or started) - started))
        writer.suite_start = instant
