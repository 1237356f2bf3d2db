"""Finds the project, its runs and their cells, and opens a run's ledger and backends."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import contextmanager
from contextlib import ExitStack
from dataclasses import dataclass
from dataclasses import field
from fnmatch import fnmatchcase
from itertools import chain
from pathlib import Path
from shlex import quote
from typing import Any
from typing import TypeVar

import pytest

from ..api.project import find
from ..backends.pool import BackendPool
from ..backends.protocol import Backend
from ..backends.registry import read_site
from ..backends.registry import Site
from ..backends.registry import UnknownBackend
from ..engine.config import Mode
from ..engine.process import is_alive
from ..engine.secrets import Secrets
from ..ledger.home import Home
from ..ledger.ledger import Ledger
from ..ledger.ledger import LedgerError
from ..ledger.run_folder import all_runs
from ..ledger.run_folder import find_run
from ..ledger.run_folder import LATEST
from ..ledger.run_folder import latest_first
from ..ledger.run_folder import LEDGER
from ..ledger.run_folder import NoSuchRun
from ..ledger.trust import demand_trust
from ..ledger.trust import is_trusted
from ..model.records import Attempt
from ..model.records import Registration
from ..model.text import printable
from .errors import CommandError
from .errors import NotFound
from .output import note

SETTINGS = "pyproject.toml"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Project:
    """A project and its runs."""

    rootdir: Path
    home: Home
    options: tuple[str, ...] = ()
    """Options with which pytest finds the same project, if this command was given any."""
    given: Mapping[str, str] = field(default_factory=dict)
    """The options of this command that select the project."""
    is_explicit: bool = True
    """Whether its folder is the current one or was named by the caller, and not found further up."""

    def arguments(self, *command: str) -> list[str]:
        """The arguments of a command, with those that select this project from the current folder."""
        return [*chain.from_iterable(self.given.items()), *command]

    def for_paths(self, paths: Sequence[str]) -> Project:
        """The project that pytest would find for these paths. Raises CommandError."""
        return find_project(self.given, paths)

    def site(self) -> Site:
        """The project's backends. Raises SiteError; Untrusted for another user's settings further up."""
        settings = self.rootdir / SETTINGS
        if not self.is_explicit and os.path.lexists(settings):
            demand_trust(settings)
        return read_site(self.rootdir)

    @contextmanager
    def _not_found(self) -> Iterator[None]:
        try:
            yield
        except NoSuchRun as error:
            raise NotFound(f"{error}{self.hint()}") from error

    def hint(self) -> str:
        """A hint for a message that a run was not found."""
        if self.home.source:
            return f" (project {self.rootdir}; {self.home.source} names the folder)"
        here = Path.cwd()
        others = (path for path in (here, *here.parents) if path != self.rootdir)
        other = next((path for path in others if Home.in_project(path).runs.is_dir()), None)
        return (
            ""
            if other is None
            else f"; to see those of {other}, write clusterjobs --rootdir {quote(str(other))}"
        )

    def folders(self) -> list[Path]:
        """The folders of all runs, latest first. Raises NotFound."""
        with self._not_found():
            return all_runs(self.home.runs)[::-1]

    def pick(self, name: str | None) -> Path:
        """The folder of the run with this id or unique prefix, or of the latest run. Raises NotFound."""
        with self._not_found():
            return find_run(self.home.runs, name or LATEST)

    def read(self, name: str | None, do: Callable[[OpenRun], T]) -> T:
        """Call ``do`` with the run of that name or the latest readable one; report why others are skipped.

        ``do`` must only read. Raises NotFound, LedgerError.
        """
        wanted = latest_first(self.home.runs) if name in (None, LATEST) else iter([self.pick(name)])
        failure: LedgerError | None = None
        with self._not_found():
            for folder in wanted:
                if failure is not None:
                    note(f"clusterjobs: {failure}; using run {folder.name} instead")
                try:
                    with open_run(folder) as run:
                        return do(run)
                except LedgerError as error:
                    failure = error
        assert failure is not None
        raise failure


_NAMES = {"--rootdir": "rootdir", "--config-file": "inifile", "--cluster-dir": "cluster_dir"}
"""The options that select the project, and their names as parameters of ``find``."""


def given(parameters: Mapping[str, Any]) -> dict[str, str]:
    """The options among a command's ``parameters`` that select the project."""
    return {option: parameters[name] for option, name in _NAMES.items() if parameters.get(name) is not None}


def find_project(options: Mapping[str, str], paths: Sequence[str] = ()) -> Project:
    """The project selected by ``options``, or the one that pytest finds here for ``paths``.

    Raises CommandError.
    """
    try:
        found = find(paths, **{_NAMES[option]: value for option, value in options.items()})
    except pytest.UsageError as error:
        raise CommandError(str(error)) from error
    by_rootdir = "--rootdir" in options
    # Without this option pytest would search an ini file from its current folder.
    ini = {} if found.inipath is None else {"--config-file": str(found.inipath)}
    same = {"--rootdir": str(found.rootdir), **ini} if by_rootdir or paths else {}
    return Project(
        found.rootdir,
        found.home,
        options=tuple(f"{option}={value}" for option, value in {**same, **options}.items()),
        given=options,
        is_explicit=by_rootdir or found.rootdir == Path.cwd(),
    )


@dataclass(frozen=True)
class OpenRun:
    """A run whose ledger is open."""

    folder: Path
    ledger: Ledger
    meta: dict[str, Any]

    @property
    def run_id(self) -> str:
        """The run's id."""
        return str(self.meta["run_id"])

    @property
    def is_copy(self) -> bool:
        """Whether the ledger is a copy, because this user may not write to the run's own."""
        return self.ledger.path.parent != self.folder

    @property
    def secrets(self) -> Secrets:
        """The values that the run hides by now."""
        return Secrets(self.folder)

    @property
    def owner(self) -> dict[str, Any] | None:
        """The session that works on the run; None if it ended normally."""
        found: dict[str, Any] | None = self.meta.get("owner")
        return found

    @property
    def owner_alive(self) -> bool | None:
        """Whether a session works on the run; None if this cannot be determined on this host."""
        return is_alive(self.owner) if self.owner else False

    @property
    def state(self) -> str:
        """The state of the run as it is shown."""
        if self.owner is not None:
            alive = self.owner_alive
            if alive is None:
                return f"session on {printable(str(self.owner['host']), 80)}"
            return "running" if alive else "session died"
        is_left = self.meta.get("mode") in (Mode.LAUNCH, Mode.CHECK)
        has_jobs = is_left and any(attempt.may_have_job for attempt in self.ledger.attempts(live=True))
        return "launched" if has_jobs else "ended"

    def registrations(self) -> list[Registration]:
        """The run's cells."""
        return [entry for _, entry in self.ledger.registrations()]

    def cells(self, pattern: str) -> list[Registration]:
        """The cells named by ``pattern``, a node id, a cell id, a glob, or a part of one. Raises NotFound."""
        entries = self.registrations()
        found = matching(pattern, entries, lambda entry: (entry.key, entry.cell.id))
        if not found:
            raise NotFound(f"no cell matches {pattern!r} in run {self.run_id}")
        return found

    def cell(self, pattern: str) -> Registration:
        """The only cell that ``pattern`` names. Raises NotFound."""
        found = self.cells(pattern)
        if len(found) > 1:
            keys = [entry.key for entry in found]
            raise NotFound(f"{pattern!r} matches {len(keys)} cells: write the whole id of one of them:", keys)
        return found[0]

    def attempts(self, key: str) -> list[Attempt]:
        """The attempts of a cell, in order."""
        return [attempt for attempt in self.ledger.attempts() if attempt.key == key]

    def read_again(self) -> OpenRun:
        """The same run, with the current contents of its ledger."""
        return OpenRun(self.folder, self.ledger, self.ledger.meta())


def matching(pattern: str, entries: Iterable[T], names: Any) -> list[T]:
    """The entries with the name ``pattern``, else those that match it as a glob, else that contain it."""
    known = [(entry, names(entry)) for entry in entries]
    tests: Sequence[Any] = (
        lambda name: name == pattern,
        lambda name: fnmatchcase(name, pattern),
        lambda name: pattern in name,
    )
    for test in tests:
        if found := [entry for entry, called in known if any(map(test, called))]:
            return found
    return []


@contextmanager
def open_run(folder: Path) -> Iterator[OpenRun]:
    """Open a run's ledger, even in a read-only folder. Raises LedgerError."""
    path = folder / LEDGER
    try:
        kind = path.stat().st_mode
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}") from error
    if not stat.S_ISREG(kind):
        raise LedgerError(f"{path}: not a regular file")
    with ExitStack() as stack:
        if not (is_trusted(path) and os.access(path, os.W_OK) and os.access(folder, os.W_OK)):
            path = _copy(path, Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="clusterjobs-"))))
        ledger = Ledger(path)
        stack.callback(ledger.close)
        yield OpenRun(folder, ledger, _checked(folder / LEDGER, ledger.meta()))


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "run_id": str,
    "rootdir": str,
    "backends": dict,
    "started": (int, float),
    "ended": (int, float, type(None)),
    "owner": (dict, type(None)),
    "path": list,
}
"""The types that the commands require of a ledger's facts about its run."""


def _checked(path: Path, meta: dict[str, Any]) -> dict[str, Any]:
    if not {"run_id", "rootdir", "backends", "started"} <= meta.keys():
        raise LedgerError(f"{path}: the run never started")
    for name, kind in _KINDS.items():
        if name in meta and not isinstance(meta[name], kind):
            raise LedgerError(f"{path}: damaged: {name} is not valid")
    if (owner := meta.get("owner")) and not {"pid", "host"} <= owner.keys():
        raise LedgerError(f"{path}: damaged: owner is not valid")
    return meta


def _copy(path: Path, to: Path) -> Path:
    """Copy a ledger, because SQLite creates files beside a database even to read it. Raises LedgerError."""
    try:
        for source in (path, path.with_name(f"{path.name}-wal")):
            if source.exists():
                shutil.copyfile(source, to / source.name)
    except OSError as error:
        raise LedgerError(f"{path}: {error.strerror}") from error
    return to / path.name


class Backends(BackendPool):
    """The backends of a run, opened again on use.

    Modules are imported only if ``project``'s own settings name them. Raises Untrusted for another user's
    run.
    """

    def __init__(self, run: OpenRun, project: Project) -> None:
        demand_trust(run.folder / LEDGER)
        path = [Path(entry) for entry in [project.rootdir, *run.meta.get("path", [])]]
        super().__init__(self._open_again, [entry for entry in path if is_trusted(entry)])
        self._run = run
        self._site = Site(backends=run.meta["backends"], source="the ledger")
        self._project = project

    def _open_again(self, name: str) -> Backend:
        self._check_type(name)
        return self._site.open(
            name,
            run_id=self._run.run_id,
            run_dir=self._run.folder,
            rootdir=Path(self._run.meta["rootdir"]),
        )

    def _check_type(self, name: str) -> None:
        kind = self._site.type_name(name)
        if ":" in kind and self._project.site().backends.get(name, {}).get("type") != kind:
            raise UnknownBackend(
                f"run {self._run.run_id} had backend {name!r} from {kind}, which is imported only if the project names it: "
                f'set type = "{kind}" in [tool.clusterjobs.backends.{name}] of {self._project.rootdir / SETTINGS}'
            )
