"""Finding and opening backends by NAME: a built-in or third-party type, or a site's own name for one."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from functools import cache
from functools import partial
from importlib.metadata import entry_points
from importlib.metadata import EntryPoint
from operator import attrgetter
from operator import itemgetter
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

from ..model.text import did_you_mean
from ..model.text import one_line
from .limits import validated
from .protocol import Backend
from .protocol import BackendContext
from .protocol import BackendError
from .protocol import BackendType
from .protocol import Capabilities
from .toml_lines import line_of

if TYPE_CHECKING:
    from .settings import SiteSettings

GROUP = "pytest_clusterjobs.backends"

TABLE = ("tool", "clusterjobs", "backends")
"""The table of ``pyproject.toml`` whose keys are NAMEs."""

MAX_FAULT_CHARACTERS = 1000
"""The most characters of a line of an error message."""


class SiteError(ValueError):
    """The site's settings cannot be used.

    The message names the file. It has a line for each fault, without control characters.
    """

    def __init__(self, *faults: str) -> None:
        self.faults = tuple(one_line(fault, MAX_FAULT_CHARACTERS) for fault in faults)
        super().__init__("\n".join(self.faults))


class UnknownBackend(SiteError):
    """The backend does not exist; the message lists those that do."""


class InvalidSettings(SiteError):
    """The settings of a backend are invalid; the message has a line for each fault."""


@cache
def _entry_points() -> dict[str, EntryPoint]:
    return {point.name: point for point in entry_points(group=GROUP)}


@dataclass(frozen=True)
class Site:
    """The backends that a project can name: the installed types, and its own names for them."""

    backends: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """``[tool.clusterjobs.backends]``: NAME to its settings, ``type`` among them."""
    source: str = "pyproject.toml"
    """The file that holds the settings, for messages."""
    types: Mapping[str, BackendType] = field(default_factory=dict)
    """Types given directly, in addition to those installed as entry points."""
    text: str = field(default="", repr=False)
    """The text of that file, for line numbers in messages; empty if the settings have no lines."""
    _validated: dict[str, SiteSettings] = field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def names(self) -> list[str]:
        """Every NAME that ``backend:`` accepts here, sorted."""
        return sorted({*self.backends, *self.types, *_entry_points()})

    def type_name(self, name: str) -> str:
        """The type of a NAME: an installed one, or ``module:attribute``. Raises UnknownBackend."""
        if name in self.backends:
            kind = self.backends[name].get("type", name)
            if isinstance(kind, str) and (":" in kind or kind in self.types or kind in _entry_points()):
                return kind
            known = ", ".join(sorted({*self.types, *_entry_points()}))
            fault = f"type must be one of {known}, or module:attribute, not {kind!r:.60}"
            raise UnknownBackend(*self._located(name, [(("type",), fault)]))
        if name in self.types or name in _entry_points():
            return name
        raise UnknownBackend(f"unknown backend {name!r}{did_you_mean(name, self.names)}")

    def type(self, name: str) -> BackendType:
        """The type behind a NAME, imported. Raises UnknownBackend."""
        kind = self.type_name(name)
        if kind in self.types:
            return self.types[kind]
        point = _entry_points().get(kind) or EntryPoint(name=name, value=kind, group=GROUP)
        try:
            loaded = point.load()
        except (ImportError, AttributeError) as error:
            raise UnknownBackend(f"backend {name!r}: cannot load {point.value}: {error}") from error
        if not isinstance(loaded, BackendType):
            raise UnknownBackend(f"backend {name!r}: {point.value} is not a BackendType")
        return loaded

    def settings(self, name: str) -> SiteSettings:
        """The validated settings of a NAME. Raises UnknownBackend; InvalidSettings with all faults."""
        if name not in self._validated:
            kind = self.type(name)
            # pydantic is imported by the first backend that is used.
            from .settings import FaultySettings

            given = {key: value for key, value in self.backends.get(name, {}).items() if key != "type"}
            try:
                self._validated[name] = kind.validate(given)
            except FaultySettings as error:
                faults = [(fault.path, fault.message) for fault in error.faults]
                raise InvalidSettings(*self._located(name, faults)) from None
        return self._validated[name]

    def capabilities(self, name: str) -> Capabilities:
        """The capabilities that the type of a NAME states; no limits if it states none.

        Raises UnknownBackend, InvalidSettings.
        """
        state, settings = self.type(name).capabilities, self.settings(name)
        if state is None:
            return Capabilities()
        try:
            return validated(partial(state, settings))
        except BackendError as error:
            raise UnknownBackend(f"backend {name!r}: {error}") from error

    def open(self, name: str, *, run_id: str, run_dir: Path, rootdir: Path) -> Backend:
        """Open the backend NAME for one run. Raises UnknownBackend, InvalidSettings, BackendError."""
        context = BackendContext(
            name=name,
            run_id=run_id,
            run_dir=run_dir,
            rootdir=rootdir,
            settings=self.settings(name),
        )
        backend = self.type(name).open(context)
        try:
            validated(partial(attrgetter("capabilities"), backend))
        except BackendError as error:
            raise BackendError(f"backend {name!r}: {error}") from error
        return backend

    def _located(self, name: str, faults: Iterable[tuple[tuple[str | int, ...], str]]) -> list[str]:
        """The faults of a NAME's table, by their keys, as lines that begin with the file, in its order."""
        table = (*TABLE, name)
        found = [(line_of(self.text, (*table, *path), len(table)) or 0, message) for path, message in faults]
        return [
            f"{_place(self.source, line)}: [{'.'.join(table)}]: {message}"
            for line, message in sorted(found, key=itemgetter(0))
        ]


def _place(source: str | Path, line: int | None) -> str:
    return f"{source}:{line}" if line else str(source)


def read_site(rootdir: Path) -> Site:
    """Read ``[tool.clusterjobs]`` of the project's pyproject.toml. Raises SiteError.

    The settings of a backend are not validated before it is used.
    """
    path = rootdir / "pyproject.toml"
    try:
        text = path.read_text("utf-8")
        table: Any = tomllib.loads(text)
    except FileNotFoundError:
        return Site()
    except (OSError, ValueError) as error:
        raise SiteError(f"{path}: {error}") from error
    own_table = table.get("tool", {}).get("clusterjobs", {})
    if faults := list(_faults(own_table)):
        raise SiteError(*[f"{_place(path, line_of(text, keys))}: {message}" for keys, message in faults])
    return Site(backends=own_table.get("backends", {}), source=path.name, text=text)


def _faults(own_table: Any) -> Iterator[tuple[Sequence[str], str]]:
    """What is wrong with ``[tool.clusterjobs]`` itself, with the keys of the place."""
    if not isinstance(own_table, Mapping):
        yield TABLE[:2], "[tool.clusterjobs] must be a table"
        return
    for key in own_table:
        if key != "backends":
            yield (*TABLE[:2], key), f"[tool.clusterjobs]: unknown key {key!r}, there is only 'backends'"
    backends = own_table.get("backends", {})
    if not isinstance(backends, Mapping):
        yield TABLE, "[tool.clusterjobs.backends]: each backend is a table of its settings"
        return
    for name, settings in backends.items():
        if not isinstance(settings, Mapping):
            message = f"{name!r:.60} must be a table: each backend is a table of its settings"
            yield (*TABLE, name), f"[tool.clusterjobs.backends]: {message}"
