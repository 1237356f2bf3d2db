"""From merged layers to cells, and the checks of each cell."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from ..backends.limits import Objection
from ..backends.limits import objections
from ..backends.limits import settings_needed
from ..backends.protocol import Unset
from ..model import BadSpec
from ..model import Cell
from ..model import JobSpec
from .errors import Location
from .errors import Reporter
from .expectations import SemanticError
from .merge import Layer
from .resolved import BackendTarget
from .resolved import resolve_fragment
from .resolved import ResolvedFragment
from .scripts import syntax_errors
from .where import Selection

_AXES: Mapping[tuple[object, ...], tuple[str, ...]] = {
    ("run",): ("recipe",),
    ("nodes",): ("nodes", "include"),
}
"""Key to the kinds of layers whose own location is used if no fragment has the key."""
_SCRIPTS = ("run", "setup")
_NO_ENV: Mapping[str, str] = {}


@dataclass(slots=True)
class CellDraft:
    """A cell under construction: its location, its layers, and their merged content."""

    id: str
    axes: Mapping[str, str]
    location: Location
    layers: Sequence[Layer]
    state: Mapping[str, Any]
    matched: Sequence[tuple[Selection, Layer]] = ()
    """The overrides that apply to it (on some backend)."""
    skip: str | None = None

    def origin(self, *path: object) -> Location:
        """The location of ``path`` in the last layer that has it."""
        for layer in reversed(self.layers):
            if _has_path(layer.content, path):
                return layer.at(*path)
        axis = _AXES.get(path, ())
        named = (layer.at(*path) for layer in reversed(self.layers) if layer.name.partition(" ")[0] in axis)
        return next(named, self.location)

    @property
    def included(self) -> bool:
        """Whether it comes from ``include``."""
        return self.layers[-1].name == "include"

    @property
    def has_errors(self) -> bool:
        """Whether part of a layer was left out because it is invalid."""
        return any(layer.has_errors for layer in self.layers)


def _has_path(here: Any, path: Sequence[object]) -> bool:
    for part in path:
        if isinstance(here, Mapping):
            here = here.get(part)
        elif not isinstance(here, (list, tuple)) or part not in here:
            return False
    return here is not None


@dataclass
class Builder:
    """Builds cells; parts that cells share are built once."""

    target: BackendTarget | None
    """``None`` if the file names an unknown backend: everything that does not depend on it is checked."""
    reporter: Reporter
    top: Location
    """Where the file names the backend, or the file's beginning."""
    _unset: dict[Unset, list[str]] = field(default_factory=dict)
    """The missing site settings, each with the cells that need it."""
    _resolved: dict[tuple[Any, ...], tuple[ResolvedFragment, Mapping[str, Any]]] = field(default_factory=dict)

    def cells(self, drafts: Sequence[CellDraft]) -> list[Cell]:
        """The cells of drafts; their mistakes are reported to the reporter."""
        cells = [self.cell(draft) for draft in drafts]
        self._check_scripts(drafts)
        if self.target is not None and self._unset:
            message = settings_needed(self.target.name, list(self._unset), self.target.source)
            for cell in dict.fromkeys(cell for among in self._unset.values() for cell in among):
                self.reporter.error(self.top, message, cell)
        return cells

    def cell(self, draft: CellDraft) -> Cell:
        """The cell of a draft; its mistakes are reported to the reporter."""
        shared = self._resolve(draft.state)
        axes = draft.axes
        spec = self._spec(draft, shared)
        self._report(draft, spec, shared)
        return Cell(
            id=draft.id,
            line=draft.location.line,
            axes=axes,
            backend=self.target.name if self.target is not None else "",
            spec=spec,
            expect=shared.expect,
            classify=shared.classify,
            infra_retries=shared.infra_retries,
            marks=shared.marks,
            fixtures=shared.fixtures,
            skip=draft.skip,
        )

    def _spec(self, draft: CellDraft, shared: ResolvedFragment) -> JobSpec:
        axes = draft.axes
        try:
            return JobSpec(
                name=draft.id,
                recipe=axes["recipe"],
                condition=axes["condition"],
                nodes=int(axes["nodes"]),
                env=draft.state.get("env", _NO_ENV),
                **shared.spec,
            )
        except BadSpec as error:
            location = draft.origin(*error.field.split(".", 1))
            self.reporter.error(location, f"{error.field}: {error.problem}", draft.id)
            return JobSpec(":", name=draft.id)

    def _check_scripts(self, drafts: Sequence[CellDraft]) -> None:
        """Report scripts that their shell cannot parse."""
        for shell in ("bash", "sh"):
            states = [state for _, state in self._resolved.values() if state.get("shell", "bash") == shell]
            wrong = syntax_errors(shell, {state[key] for state in states for key in _SCRIPTS if key in state})
            for draft in drafts if wrong else ():
                for key in _SCRIPTS:
                    message = wrong.get(draft.state.get(key, ""))
                    if message and draft.state.get("shell", "bash") == shell:
                        self.reporter.error(
                            draft.origin(key), f"{key}: {shell} cannot parse it: {message}", draft.id
                        )

    def _explained(self, location: Location, error: SemanticError) -> bool:
        """Whether another mistake at the same location explains why a value seems to be missing."""
        return self.reporter.has_error_at(location) and not self.reporter.has_error_at(
            location, error.message
        )

    def _resolve(self, state: Mapping[str, Any]) -> ResolvedFragment:
        # The merger makes equal values the same object, and the memo keeps them alive, so ids suffice as
        # keys.
        key = tuple([(name, id(value)) for name, value in state.items() if name != "env"])
        found = self._resolved.get(key)
        if found is None:
            found = self._resolved[key] = (resolve_fragment(state, self.target), state)
        return found[0]

    def _report(self, draft: CellDraft, spec: JobSpec, shared: ResolvedFragment) -> None:
        for error in shared.errors:
            location = draft.origin(*error.path)
            if error.is_warning:
                self.reporter.warn(location, error.message, draft.id)
            elif not error.is_missing or not (draft.has_errors or self._explained(location, error)):
                self.reporter.error(location, error.message, draft.id)
        for name in spec.secrets:
            if name in spec.env:
                message = f"{name} is in env and in secrets: remove it from one of them"
                self.reporter.error(draft.origin("secrets", name), message, draft.id)
        if self.target is not None and draft.skip is None:
            target = self.target
            for found in objections(spec, target.capabilities, target.name, target.type, target.settings):
                for setting in found.unset:
                    self._unset.setdefault(setting, []).append(draft.id)
                if found.unset:
                    continue
                about = found.key or found.about
                location = draft.origin(*about.split(".")) if about else draft.location
                self.reporter.error(location, found.message(*_fixes(found, draft, target.name)), draft.id)


def _fixes(found: Objection, draft: CellDraft, backend: str) -> Iterator[str]:
    """How a matrix can stay within a backend's limit."""
    if found.key == "nodes" and draft.included:
        yield "choose another backend, or `only: {backend: OTHER}` in this include"
    elif found.key == "nodes":
        yield f"choose another backend, or `exclude: [{{backend: {backend}, nodes: {draft.axes['nodes']}}}]`"
    elif found.key == "max_restarts":
        override = f"{{where: {{backend: {backend}}}, max_restarts: {found.limit}}}"
        yield f"choose another backend, or `overrides: [{override}]`"
