"""Recipes in all their forms, as layers by name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..model.spec import RECIPE_FILE
from ..model.text import quoted
from .errors import Reporter
from .globs import Glob
from .globs import MAX_ENTRIES
from .globs import TooManyEntries
from .load import display_path
from .load import read_document
from .merge import Layer
from .model import Document
from .model import RecipesFile
from .nodes import location_of
from .nodes import Map
from .nodes import map_of
from .nodes import Scalar
from .nodes import scalar_of
from .nodes import value_at
from .readers import NAME_PATTERN
from .validate import Loc
from .validate import validate


@dataclass
class RecipeSource:
    """Collects the recipes of one matrix."""

    path: Path
    rootdir: Path
    reporter: Reporter

    def collect(self, document: Document, raw: Map, dropped: list[Loc]) -> dict[str, Layer]:
        """Every recipe by name, in the order of the file."""
        found: dict[str, Layer] = {}
        for layer in self._all(document, raw, dropped):
            name = layer.name.removeprefix("recipe ")
            if name in found:
                first = found[name].location
                self.reporter.error(layer.location, f"duplicate recipe {quoted(name)} (first at {first})")
            else:
                found[name] = layer
        return found

    def _all(self, document: Document, raw: Map, dropped: list[Loc]) -> Iterator[Layer]:
        yield from entries("recipe", document.recipes or {}, raw, ("recipes",), dropped)
        for given in _scalars(raw.get("recipe_files"), document.recipe_files):
            yield from self._matching(given)
        for given in _scalars(raw.get("recipes_from"), document.recipes_from):
            yield from self._read(given)

    def _matching(self, pattern: Scalar) -> Iterator[Layer]:
        folder, glob = self.path.parent, Glob.of(pattern)
        if not self._inside(folder / glob.base, pattern):
            return
        try:
            files = sorted(match for match in glob.files(folder) if folder / match != self.path)
        except TooManyEntries:
            message = f"recipe_files: {quoted(pattern)} covers more than {MAX_ENTRIES:,} names: name the folders that contain recipes"
            self.reporter.error(location_of(pattern), message)
            return
        if not files:
            self.reporter.error(
                location_of(pattern), f"recipe_files: no file matches {quoted(pattern)} in {folder.name}/"
            )
        for match in files:
            if not self._inside(folder / match, pattern):
                return
            parts = [part for part in Path(match).with_suffix("").parts if part not in ("..", ".", "/")]
            name = ".".join(parts)
            if not re.fullmatch(NAME_PATTERN, name):
                message = f"recipe_files: {quoted(match)} cannot be part of a test id; use letters, digits and . _ + -"
                self.reporter.error(location_of(pattern), message)
                continue
            shown = display_path((folder / match).resolve(), self.rootdir.resolve())
            yield Layer(f"recipe {name}", {"env": {RECIPE_FILE: shown}}, None, location_of(pattern))

    def _read(self, given: Scalar) -> Iterator[Layer]:
        path = self.path.parent / given
        if not path.is_file():
            self.reporter.error(location_of(given), f"recipes_from: no such file: {quoted(path.name)}")
            return
        if not self._inside(path, given):
            return
        shown = display_path(path.resolve(), self.rootdir.resolve())
        content = read_document(path, shown, self.reporter)
        if content is None:
            return
        wrapped = map_of(content.node, [(scalar_of("recipes", given.node), content)])
        model, dropped, wrapped = validate(RecipesFile, wrapped, self.reporter)
        if model is not None:
            yield from entries("recipe", model.recipes, wrapped, ("recipes",), dropped)

    def _inside(self, path: Path, given: Scalar) -> bool:
        """Whether a file may be read: recipes may only be read from below rootdir."""
        real = path.resolve()
        if any(real.is_relative_to(folder.resolve()) for folder in (self.rootdir, self.path.parent)):
            return True
        self.reporter.error(location_of(given), f"{quoted(given)} is outside rootdir")
        return False


def entries(
    kind: str, fragments: dict[Any, Any], raw: Map, path: tuple[str, ...], dropped: list[Loc]
) -> Iterator[Layer]:
    """The layers of one axis, from its validated fragments and their source."""
    container = value_at(raw, path)
    keys = {str(key): key for key in _keys(container)}
    invalid = {str(loc[len(path)]) for loc in dropped if loc[: len(path)] == path and len(loc) > len(path)}
    for name, fragment in fragments.items():
        below = container.get(str(name)) if isinstance(container, Map) else None
        location = location_of(keys.get(str(name), raw))
        content = fragment.explicit_fields() if fragment is not None else {}
        yield Layer(f"{kind} {name}", content, _long_form(below), location, str(name) in invalid)


def _long_form(raw: Any) -> Any:
    """A recipe with ``run`` as its key, if the file has the short form."""
    return map_of(raw.node, [(scalar_of("run", raw.node), raw)]) if isinstance(raw, Scalar) else raw


def _keys(container: Any) -> list[Scalar]:
    """The names in a mapping, or in the list that abbreviates one."""
    if isinstance(container, Map):
        return [key for key, _ in container.pairs()]
    return [each for each in container or () if isinstance(each, Scalar)]


def _scalars(raw: Any, read: list[str] | None) -> list[Scalar]:
    """The entries of a list of texts with their positions, without the rejected ones."""
    given = [raw] if isinstance(raw, Scalar) else raw or []
    return [each for each in given if isinstance(each, Scalar) and each in (read or [])]
