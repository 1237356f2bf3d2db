"""From a matrix file to its cells."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from itertools import product
from math import prod
from pathlib import Path

from ..backends.registry import Site
from ..backends.registry import SiteError
from ..model import Cell
from ..model.text import quoted
from .build import Builder
from .build import CellDraft
from .errors import Location
from .errors import Reporter
from .layers import LayerReader
from .layers import Layers
from .load import display_path
from .load import gc_off
from .load import read_document
from .merge import Layer
from .merge import Merger
from .merge import replaced
from .model import Document
from .nodes import locate
from .nodes import location_of
from .nodes import Map
from .resolved import BackendTarget
from .result import Matrix
from .validate import validate
from .where import Selection
from .where import SelectionIndex

MAX_CELLS = 100_000
_MAX_ID_CHARACTERS = 200


def expand_file(path: Path, *, rootdir: Path, site: Site, backend: str | None) -> Matrix:
    """Read and expand one matrix. Raises MatrixErrors."""
    with gc_off():
        return _expand(path, rootdir, site, backend)


def _expand(path: Path, rootdir: Path, site: Site, backend: str | None) -> Matrix:
    reporter = Reporter()
    raw = read_document(path, display_path(path, rootdir), reporter)
    cells: list[Cell] = []
    marks: dict[str, Location] = {}
    if isinstance(raw, Map):
        document, dropped, raw = validate(Document, raw, reporter)
        if document is not None:
            target = _target(site, backend, document, raw, reporter)
            layers = LayerReader(path, rootdir, raw, document, dropped, reporter).read(site, target)
            if layers is not None:
                backend_location = locate(raw, ["backend"], location_of(raw))
                cells = Expansion(layers, target, reporter, location_of(raw), backend_location).cells()
                marks = layers.marks()
    elif raw is not None:
        reporter.error(location_of(raw), "a matrix is a mapping: recipes, nodes, conditions, ...")
    reporter.raise_errors()
    return Matrix(path, tuple(cells), reporter.warnings, marks)


def _target(
    site: Site, override: str | None, document: Document, raw: Map, reporter: Reporter
) -> BackendTarget | None:
    name = override or document.backend or "local"
    try:
        return BackendTarget(name, site.type(name), site.settings(name), site.capabilities(name), site.source)
    except (SiteError, ImportError) as error:
        here = location_of(raw)
        location = Location(here.path, 1, 1) if override else locate(raw, ["backend"], here)
        for fault in error.faults if isinstance(error, SiteError) else [str(error)]:
            reporter.error(location, f"{'--cluster-backend' if override else 'backend'}: {fault}")
        return None


@dataclass
class Expansion:
    """The steps from layers to cells."""

    layers: Layers
    target: BackendTarget | None
    reporter: Reporter
    top: Location
    backend_location: Location
    """Where the file names its backend, or the file's beginning."""
    _merger: Merger = field(default_factory=Merger)
    _used: set[int] = field(default_factory=set)
    """The selections that have selected a cell."""

    def __post_init__(self) -> None:
        sizes = {axis: len(values) for axis, values in self.layers.axes.items()}
        self._overrides = SelectionIndex([selection for selection, _ in self.layers.overrides], sizes)
        self._excludes = SelectionIndex(self.layers.excludes, sizes)

    def cells(self) -> list[Cell]:
        """All cells, product first, then includes."""
        size = prod(len(values) for values in self.layers.axes.values()) + len(self.layers.includes)
        if size > MAX_CELLS:
            self.reporter.error(self.top, f"the matrix has {size} cells; the limit is {MAX_CELLS}")
            return []
        drafts = self._unique([*self._product(), *self._included()])
        for draft in drafts:
            if draft.matched:
                self._used.update(id(selection) for selection, _ in draft.matched)
                self._check_overrides(draft)
        self._check_used(bool(drafts))
        return Builder(self.target, self.reporter, self.backend_location).cells(drafts)

    def _product(self) -> Iterator[CellDraft]:
        """The cross product in the order of the ids, without what ``only`` and ``exclude`` remove."""
        axes = self.layers.axes
        for values in product(*axes.values()):
            draft = self._draft(dict(zip(axes, values, strict=True)), None)
            if self._keeps(draft):
                yield draft

    def _included(self) -> Iterator[CellDraft]:
        for include in self.layers.includes:
            draft = self._draft(include.axes, include.layer)
            draft.skip = self._skip(draft)
            yield draft

    def _draft(self, axes: Mapping[str, str], include: Layer | None) -> CellDraft:
        matched = [self.layers.overrides[at] for at in self._overrides.matching(axes)]
        layers = [
            *self.layers.of(axes),
            *(layer for selection, layer in matched if self._on_backend(selection)),
            *([] if include is None else [include]),
        ]
        location = self._location(axes) if include is None else include.location
        return CellDraft(_cell_id(axes), axes, location, layers, self._merger.fold(layers), matched)

    def _location(self, axes: Mapping[str, str]) -> Location:
        """The location of a cell: its condition, or its recipe if no condition is written in the file."""
        condition = self.layers.axes["condition"][axes["condition"]]
        recipe = self.layers.axes["recipe"][axes["recipe"]].location
        in_recipe = condition.is_implied and recipe.path == condition.location.path
        return recipe if in_recipe else condition.location

    def _check_overrides(self, draft: CellDraft) -> None:
        """Check that an override does not silently disable what a condition tests."""
        condition = self.layers.axes["condition"][draft.axes["condition"]]
        for selection, layer in draft.matched:
            if not self._on_backend(selection) or selection.names("condition"):
                continue
            for key in replaced(layer.content, condition.content):
                self.reporter.error(
                    layer.key(*key.split(".")),
                    f"this replaces {key} of condition {quoted(draft.axes['condition'])}; "
                    "if that is intended, name `condition` in its where",
                )

    def _keeps(self, draft: CellDraft) -> bool:
        """Whether a cell of the product stays; records the selections that applied to it."""
        only: tuple[Selection, ...] = draft.state.get("only", ())
        if only:
            if not all(selection.matches(draft.axes) for selection in only):
                return False
            self._used.update(id(selection) for selection in only)
            draft.skip = self._skip(draft)
        keeps = True
        for selection in map(self.layers.excludes.__getitem__, self._excludes.matching(draft.axes)):
            self._used.add(id(selection))
            if selection.backends is None:
                keeps = False
            elif self._on_backend(selection):
                draft.skip = draft.skip or f"excluded on backend {self._backend_name}"
        return keeps

    def _skip(self, draft: CellDraft) -> str | None:
        for selection in draft.state.get("only", ()):
            self._used.add(id(selection))
            if not self._on_backend(selection):
                return f"only for backend {' or '.join(sorted(selection.backends or ()))}"
        return None

    def _on_backend(self, selection: Selection) -> bool:
        return self.target is None or selection.matches_backend(self.target.names)

    @property
    def _backend_name(self) -> str:
        return self.target.name if self.target is not None else ""

    def _unique(self, drafts: list[CellDraft]) -> list[CellDraft]:
        """The cells with a unique id; errors for the others."""
        seen: dict[str, CellDraft] = {}
        for draft in drafts:
            if len(draft.id) > _MAX_ID_CHARACTERS:
                self.reporter.error(
                    draft.location,
                    f"the cell id is longer than {_MAX_ID_CHARACTERS} characters: {quoted(draft.id)}",
                )
            first = seen.setdefault(draft.id, draft)
            if first is not draft:
                hint = "; to change cells of the product use overrides" if draft.included else ""
                message = f"duplicate cell {draft.id} (first from line {first.location.line}){hint}"
                self.reporter.error(draft.location, message)
        return list(seen.values())

    def _check_used(self, any_cells: bool) -> None:
        for selection, _ in self.layers.overrides:
            self._check_selection(selection, "overrides: this where matches no cell")
        for selection in self.layers.excludes:
            self._check_selection(selection, "exclude: this matches no cell")
        for layer in self.layers.general():
            only = layer.content.get("only")
            if only is not None:
                self._check_selection(only, f"only: this excludes every cell of {layer.name}")
        if not any_cells and not self.reporter.has_errors:
            self.reporter.error(self.top, "the matrix has no cells: only and exclude remove all of them")

    def _check_selection(self, selection: Selection, message: str) -> None:
        if id(selection) not in self._used:
            self.reporter.error(selection.location, message)


def _cell_id(axes: Mapping[str, str]) -> str:
    recipe, nodes, condition, *further = axes.values()
    return "-".join([recipe, f"{nodes}n", condition, *further])
