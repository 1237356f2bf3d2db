"""Collection for ``--cluster-check`` and ``--cluster-resume``: the run determines which cells there are.

Items are made from the run's own cells, even if today's files no longer have them, and carry the marks of the
launch. Differences are reported at the end. pytest's own selection (paths, ``-k``, ``-m`` ...) applies to
them.
"""

from __future__ import annotations

import os
from collections.abc import Generator
from collections.abc import Iterator
from collections.abc import Sequence
from fnmatch import fnmatchcase
from glob import glob
from pathlib import Path

import pytest

from ..engine.config import Mode
from ..ledger.ledger import Ledger
from ..ledger.ledger import LedgerError
from ..ledger.run_folder import LEDGER
from ..matrix.globs import below
from ..model.records import Registration
from ..model.records import Xfail
from ..model.text import one_line
from ..model.text import unbroken
from .compat import Marked
from .compat import marked
from .items import CellItem
from .items import MatrixFile
from .launched_cells import Launched
from .launched_cells import LAUNCHED_KEY
from .marks import as_mark
from .settings import SessionSettings
from .settings import settings_of


def read_launched(settings: SessionSettings) -> Launched:
    """The cells of the run that this session checks or resumes. Raises pytest.UsageError."""
    assert settings.run is not None
    try:
        ledger = Ledger(settings.run / LEDGER)
        try:
            return Launched(ledger)
        finally:
            ledger.close()
    except LedgerError as error:
        raise pytest.UsageError(one_line(str(error), 2000)) from error


class LaunchedCollection:
    """Hooks of a session that judges an earlier run."""

    def __init__(self, config: pytest.Config) -> None:
        """Read the run, and collect all of its files unless paths were given. Raises pytest.UsageError."""
        self._config = config
        self._mode = settings_of(config).run_config.mode
        self._launched = read_launched(settings_of(config))
        config.stash[LAUNCHED_KEY] = self._launched
        # Lexically, as pytest makes node ids from paths.
        self._paths = {
            Path(os.path.normpath(config.rootpath / nodeid)): nodeid for nodeid in self._launched.files
        }
        self._selects = config.args_source is pytest.Config.ArgsSource.ARGS
        option = config.option
        # Without further arguments a check covers only the run's cells, while a resume adds new ones.
        self._is_about_the_run = self._mode is Mode.CHECK and not (
            self._selects or option.keyword or option.markexpr
        )
        if (paths := self._project_paths()) is not None:
            config.args = paths
        self._given = [
            Path(os.path.normpath(config.invocation_params.dir / arg))
            for arg in config.args
            if "::" not in str(arg)
        ]
        self._folders: dict[Path, pytest.Directory] = {}
        self._collected: set[str] = set()
        self._deselected: set[pytest.Item] = set()
        if not self._selects:
            config.args = [*config.args, *map(str, self._files_to_add())]

    def _project_paths(self) -> list[str] | None:
        """What to collect if pytest was started outside of the project without paths; None inside of it.

        pytest itself would collect the current folder, whose tests belong to another project.
        """
        config, root = self._config, self._config.rootpath
        start = config.invocation_params.dir
        is_named = config.option.rootdir is not None
        if self._selects or below(start, root) is not None:
            return None
        if below(root, start) is not None and not is_named:  # as with `-c ci/pytest.ini`
            return None
        patterns: list[str] = config.getini("testpaths")
        found = [name for each in patterns for name in sorted(glob(each, root_dir=root, recursive=True))]
        return [os.path.normpath(root / name) for name in found or ("",)]

    def has(self, nodeid: str) -> bool:
        """Whether a file is one of the run's."""
        return nodeid in self._launched.files

    def _files_to_add(self) -> Iterator[Path]:
        unseen = (path for path in self._paths if path.is_file() and not self._is_given(path))
        return (path for path in unseen if not self._is_ignored(path))

    def _is_given(self, path: Path) -> bool:
        return any(below(path, given) is not None for given in self._given)

    def pytest_collectstart(self, collector: pytest.Collector) -> None:
        """Remember the collected matrices, and the folders, to add missing files to them."""
        if isinstance(collector, pytest.Directory):
            self._folders[collector.path] = collector
        elif isinstance(collector, MatrixFile):
            self._collected.add(collector.nodeid)

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_collection_modifyitems(
        self, session: pytest.Session, items: list[pytest.Item]
    ) -> Generator[None, object, object]:
        """Add the run's files that pytest did not find, and restore cells that a hook removed silently.

        Cells that the run does not have are left out, unless the command line may select them. Deselected
        items, as with ``-k``, are passed to ``pytest_deselected``.
        """
        for path, nodeid in self._paths.items():
            chosen = not self._selects or self._is_given(path)
            if chosen and nodeid not in self._collected and not self._is_ignored(path):
                parent = next((self._folders[up] for up in path.parents if up in self._folders), session)
                file: MatrixFile = MatrixFile.from_parent(parent, path=path, nodeid=nodeid)
                items.extend(session.genitems(file))
        if self._is_about_the_run:
            self._leave_out_others(items)
        launched = [item for item in items if isinstance(item, CellItem) and self._launched.entry(item.key)]
        done = yield
        kept = {*items, *self._deselected}
        for item in launched:
            if item not in kept:
                items.append(item)
                self._note("removed by a hook since the launch: judged all the same", item.key)
        return done

    def _leave_out_others(self, items: list[pytest.Item]) -> None:
        others = [item for item in items if isinstance(item, CellItem) and not self._launched.has(item.key)]
        if not others:
            return
        for item in others:
            self._note("not part of this run, and not judged", item.key)
        gone = set(others)
        items[:] = [item for item in items if item not in gone]
        self._config.hook.pytest_deselected(items=others)

    def pytest_deselected(self, items: Sequence[pytest.Item]) -> None:
        """Remember what the user deselected."""
        self._deselected.update(items)

    def _is_ignored(self, path: Path) -> bool:
        """Whether the command line ignores a file or one of its folders."""
        option, start = self._config.option, self._config.invocation_params.dir
        paths = [os.path.normpath(start / each) for each in option.ignore or ()]
        globs = [os.path.normpath(start / each) for each in option.ignore_glob or ()]
        names = [str(each) for each in (path, *path.parents)]
        return any(name in paths or any(fnmatchcase(name, glob) for glob in globs) for name in names)

    @pytest.hookimpl(trylast=True)
    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Apply the marks of the launch, now that all of today's marks are known."""
        items = [item for item in session.items if isinstance(item, CellItem)]
        for item in items:
            self._judge_as_launched(item)
        selected = {item.key for item in items}
        for key in self._launched.keys:
            if key not in selected:
                self._note("{are} not selected, and not judged here", key)

    def _judge_as_launched(self, item: CellItem) -> None:
        entry, now = self._launched.entry(item.key), marked(item)
        if entry is not None:
            item.judge_by(self._mark(entry, now))
            if item.current is not None:
                self._compare(entry, now)
        elif (left_out := self._launched.left_out.get(item.key)) is not None:
            kind, reason = left_out
            reason = unbroken(reason)
            skip = pytest.mark.skip(reason=reason)
            item.judge_by(skip if kind == "skip" else pytest.mark.xfail(reason=reason, run=False))
            if now.runs:
                self._note(f"marked {kind} at the launch and not today: still left out", item.key)
        elif now.runs:
            done = "submitted now" if self._mode is Mode.RESUME else "not run"
            self._note(f"not part of this run: {done}", item.key)

    @staticmethod
    def _mark(entry: Registration, now: Marked) -> pytest.MarkDecorator | None:
        """The xfail mark of the launch, or today's if the ledger does not record it."""
        xfails: Sequence[Xfail | None] = (now.xfail,) if entry.xfails is None else entry.xfails
        return next((as_mark(xfail, now.raises) for xfail in xfails if xfail is not None), None)

    def _compare(self, entry: Registration, now: Marked) -> None:
        """Note how today's marks differ."""
        if now.is_invalid:
            self._note(
                "has a mark today that cannot be evaluated: judged by the marks of the launch", entry.key
            )
        elif now.left_out is not None:
            self._note(f"marked {now.left_out[0]} since the launch: judged all the same", entry.key)
        elif entry.xfails is None or self._config.option.runxfail:
            return
        elif now.xfail is not None and not entry.xfails:
            self._note("marked xfail since the launch: judged without the mark", entry.key)
        elif now.xfail is None and entry.xfails:
            self._note("marked xfail at the launch and not today: judged with the mark", entry.key)
        elif now.xfail is not None and _means(now.xfail) != _means(entry.xfails[0]):
            self._note("xfail mark changed since the launch: judged by the mark of the launch", entry.key)

    def _note(self, kind: str, key: str) -> None:
        self._launched.differences.add(kind, key)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Print how today's files differ from the launch."""
        for line in self._launched.differences.lines():
            terminalreporter.write_line(unbroken(line), yellow=True)


def _means(xfail: Xfail) -> tuple[object, ...]:
    return xfail.strict, xfail.raises
