"""Finding and opening backends by NAME: a built-in or third-party type, or a site's own name for one."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from difflib import get_close_matches
from functools import cache
from functools import partial
from importlib.metadata import entry_points
from importlib.metadata import EntryPoint
from operator import attrgetter
from pathlib import Path
from typing import Any

from .limits import sound
from .protocol import Backend
from .protocol import BackendContext
from .protocol import BackendError
from .protocol import BackendType
from .protocol import Capabilities

GROUP = "pytest_clusterjobs.backends"


class SiteError(ValueError):
    """The site's settings cannot be used; the message is one line that names the file."""


class UnknownBackend(SiteError):
    """The backend does not exist; the message is one line that lists those that do."""


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
            where = f"{self.source}: [tool.clusterjobs.backends.{name}]"
            known = ", ".join(sorted({*self.types, *_entry_points()}))
            raise UnknownBackend(f"{where}: type must be one of {known}, or module:attribute, not {kind!r}")
        if name in self.types or name in _entry_points():
            return name
        close = get_close_matches(name, self.names, n=1)
        hint = f", did you mean {close[0]!r}?" if close else f"; there are {', '.join(self.names)}"
        raise UnknownBackend(f"unknown backend {name!r}{hint}")

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

    def settings(self, name: str) -> dict[str, Any]:
        """The settings of a NAME without ``type``. Raises UnknownBackend for a key its type does not have."""
        given = {key: value for key, value in self.backends.get(name, {}).items() if key != "type"}
        known = self.type(name).settings
        for key in given:
            if key not in known:
                close = get_close_matches(key, known, n=1)
                hint = f", did you mean {close[0]!r}?" if close else f"; there are {', '.join(sorted(known))}"
                raise UnknownBackend(
                    f"{self.source}: [tool.clusterjobs.backends.{name}]: unknown setting {key!r}{hint}"
                )
        return given

    def capabilities(self, name: str) -> Capabilities:
        """The capabilities that the type of a NAME states; no limits if it states none.

        Raises UnknownBackend.
        """
        state, settings = self.type(name).capabilities, self.settings(name)
        if state is None:
            return Capabilities()
        try:
            return sound(partial(state, settings))
        except BackendError as error:
            where = f"{self.source}: [tool.clusterjobs.backends.{name}]"
            raise UnknownBackend(f"{where if settings else f'backend {name!r}'}: {error}") from error

    def open(self, name: str, *, run_id: str, run_dir: Path, rootdir: Path) -> Backend:
        """Open the backend NAME for one run. Raises UnknownBackend, BackendError."""
        context = BackendContext(
            name=name,
            run_id=run_id,
            run_dir=run_dir,
            rootdir=rootdir,
            settings=self.settings(name),
        )
        backend = self.type(name).open(context)
        try:
            sound(partial(attrgetter("capabilities"), backend))
        except BackendError as error:
            raise BackendError(f"backend {name!r}: {error}") from error
        return backend


def read_site(rootdir: Path) -> Site:
    """Read ``[tool.clusterjobs]`` of the project's pyproject.toml. Raises SiteError."""
    path = rootdir / "pyproject.toml"
    try:
        table: Any = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return Site()
    except (OSError, ValueError) as error:
        raise SiteError(f"{path}: {error}") from error
    ours = table.get("tool", {}).get("clusterjobs", {})
    for key in ours:
        if key != "backends":
            raise SiteError(f"{path}: [tool.clusterjobs]: unknown key {key!r}, there is only 'backends'")
    backends = ours.get("backends", {})
    if not isinstance(backends, Mapping) or not all(
        isinstance(entry, Mapping) for entry in backends.values()
    ):
        raise SiteError(f"{path}: [tool.clusterjobs.backends]: each backend is a table of its settings")
    return Site(backends=backends, source=path.name)
