"""All private names of pytest and other plugins in use, and why; ``api/project.py`` has one more."""

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
    """The current result of an item's skip, skipif and xfail marks."""

    left_out: tuple[Literal["skip", "xfail"], str] | None = None
    """The mark that keeps the item from running, and its reason."""
    xfail: Xfail | None = None
    """The xfail mark in force on an item that runs."""
    raises: Any = None
    """That mark's own ``raises`` argument."""
    is_invalid: bool = False
    """Whether a condition cannot be evaluated; the item's own setup reports it."""

    @property
    def runs(self) -> bool:
        """Whether the item will run."""
        return self.left_out is None and not self.is_invalid


def marked(item: pytest.Item) -> Marked:
    """Evaluate an item's skip, skipif and xfail marks.

    pytest evaluates the marks in the item's setup, but submission needs them earlier. Without the private
    helpers any such mark counts: the job is then not submitted ahead of its item, rather than submitted
    wrongly.
    """
    if not any(item.get_closest_marker(name) for name in JUDGING):
        return Marked()
    try:
        from _pytest.skipping import evaluate_skip_marks
        from _pytest.skipping import evaluate_xfail_marks
    except ImportError:
        return Marked(is_invalid=True)
    try:
        skipped, found = evaluate_skip_marks(item), evaluate_xfail_marks(item)
    except (pytest.fail.Exception, TypeError):
        # A mark that cannot be evaluated is an error of this item, which its setup reports.
        return Marked(is_invalid=True)
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
    """Whether another plugin is active, given the name of its entry point, however it was loaded."""
    manager = config.pluginmanager
    return manager.hasplugin(name) or manager.hasplugin(_LOADED_AS[name])


def keep_from_rerunning(item: pytest.Item) -> None:
    """Make pytest-rerunfailures and pytest-retry run this item once, whatever the options and marks are.

    They rerun an item immediately, and would get the end of the same job each time. A rerun of a cell needs
    another job, which the engine submits (see ``reruns_of``). The closest mark overrides the option.
    """
    if has_plugin(item.config, "rerunfailures") or has_plugin(item.config, "pytest-retry"):
        item.add_marker(pytest.mark.flaky(reruns=0, condition=False), append=False)


_FILTERS = frozenset({"only_rerun", "rerun_except", "condition", "only_on", "exclude"})
"""Arguments of ``flaky`` marks that are conditions or exception filters."""


def reruns_of(item: pytest.Item, own: Collection[str]) -> int:
    """How often a ``flaky`` mark of pytest-rerunfailures or pytest-retry asks to rerun this item.

    Only the item's own marks count: ``--reruns`` and ``--retries`` are meant for tests that are cheap to
    rerun. ``own`` names the item's own marks, because pytest-retry adds one to every item. Marks with a
    condition or with exception filters are ignored, since they depend on what a test raises.
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

    Read when the job is submitted, because pytest-timeout's own hooks run only after the job has ended.
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
    """Errors in the fixtures of an item that nothing parametrizes, from pytest's fixture closure for it."""
    known = info.name2fixturedefs
    for name in info.names_closure:
        if name in known:
            if known[name][-1].params is not None:
                yield f"fixture {name!r} is parametrized, and no cell has parameters: name one that is not"
        elif name != "request":
            yield f"fixture {name!r} not found: see pytest --fixtures for the available ones"
    seen: set[tuple[str, int]] = set()
    for name in info.initialnames:
        if name in known:
            yield from _mistakes_below(known, (name,), seen)


def _mistakes_below(known: Any, chain: tuple[str, ...], seen: set[tuple[str, int]]) -> Iterator[str]:
    """The same for what the last fixture of ``chain`` requests.

    A fixture that requests its own name gets the one that it overrides.
    """
    name, times = chain[-1], chain.count(chain[-1])
    if (name, times) in seen:
        return
    seen.add((name, times))
    requesting = known[name][-times]
    for other in requesting.argnames:
        depth = chain.count(other) + 1
        if other not in known:
            continue
        if depth > len(known[other]):
            yield f"fixture {other!r} requests itself: {' -> '.join((*chain, other))}"
        elif _SCOPES.index(known[other][-depth].scope) < _SCOPES.index(requesting.scope):
            yield (
                f"fixture {name!r} has the scope {requesting.scope} and asks for {other!r}, which has the scope"
                f" {known[other][-depth].scope}: give {other!r} the scope {requesting.scope}"
            )
        else:
            yield from _mistakes_below(known, (*chain, other), seen)


def notice_session_timeout(session: pytest.Session) -> None:
    """Apply pytest-timeout's ``--session-timeout`` while waiting for jobs; it checks only after each item."""
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
    """The file with a folder's own pytest configuration, which makes it rootdir if all arguments are inside.

    Without the private name the result is None, and a matrix is assumed to belong to the session's project.
    """
    try:
        from _pytest.config.findpaths import locate_config
    except ImportError:
        return None
    root, path, *_ = locate_config(folder, [folder])
    return path if root == folder else None


def inapplicable(config: pytest.Config) -> list[str]:
    """Options of other plugins that cells cannot support, one line each."""
    count = getattr(config.option, "count", 1)
    if has_plugin(config, "repeat") and isinstance(count, int) and count > 1:
        return [
            f"--count {count} does not apply to cells: each ran once (an axis of the matrix repeats them)"
        ]
    return []


def stop_naming_files(config: pytest.Config) -> None:
    """Keep the terminal from starting a new line with the file's name whenever the file changes.

    In completion order that would be one line per dot.
    """
    reporter: Any = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None and not reporter.verbosity > 0:
        reporter.ensure_newline()
        reporter.showfspath = False


def terminal_of(config: pytest.Config) -> tuple[Any, Any]:
    """The writer of pytest's terminal reporter, and the stream that it writes to.

    Without the private name the stream is assumed to be stdout, as it is unless a plugin replaces it.
    """
    writer: Any = config.get_terminal_writer()
    return writer, getattr(writer, "_file", sys.stdout)


def set_suite_time(config: pytest.Config, started: float, ended: float | None) -> None:
    """Set the times in pytest's JUnit XML to those of an earlier run, in seconds since the epoch.

    The writer uses the time at which its session starts. Without the private names the file has the
    time at which it was rebuilt; the test cases still have their own times.
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
