"""From a validated document to the layers that its cells are merged from."""

from __future__ import annotations

from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..backends.registry import Site
from ..model.text import did_you_mean
from ..model.text import quoted
from .checks import LayerCheck
from .checks import vocabulary
from .errors import Location
from .errors import Reporter
from .hints import unknown_key
from .merge import Layer
from .model import Document
from .model import Fragment
from .model import Include
from .nodes import locate
from .nodes import location_of
from .nodes import Map
from .nodes import value_at
from .recipes import entries
from .recipes import RecipeSource
from .resolved import BackendTarget
from .validate import Loc
from .where import BACKEND
from .where import Selection

BUILT_IN_AXES = ("recipe", "nodes", "condition")
_KEYS = {"recipe": "recipes", "nodes": "nodes", "condition": "conditions"}


class _AnyValue(list[str]):
    """The values of an axis that are unknown because the file's text for them cannot be read."""

    def __contains__(self, value: object) -> bool:
        return True


@dataclass(frozen=True)
class IncludedCell:
    """An include: its axis values, and its own fragment."""

    axes: Mapping[str, str]
    layer: Layer


@dataclass(frozen=True)
class Layers:
    """The checked content of a matrix; later layers override earlier ones."""

    base: tuple[Layer, ...]
    axes: Mapping[str, Mapping[str, Layer]]
    """Axis to value to layer: recipe, nodes, condition, then the file's own axes."""
    overrides: tuple[tuple[Selection, Layer], ...]
    excludes: tuple[Selection, ...]
    includes: tuple[IncludedCell, ...]

    def of(self, axes: Mapping[str, str]) -> Iterator[Layer]:
        """The layers below the overrides of a cell with these axes, the condition last."""
        yield from self.base
        for axis, value in axes.items():
            if axis != "condition" and value in self.axes[axis]:
                yield self.axes[axis][value]
        yield self.axes["condition"][axes["condition"]]

    def general(self) -> Iterator[Layer]:
        """The layers for all cells, or for a value of an axis."""
        yield from self.base
        for values in self.axes.values():
            yield from values.values()

    def marks(self) -> dict[str, Location]:
        """The name of each mark, and its first location."""
        layers = [
            *self.general(),
            *(layer for _, layer in self.overrides),
            *(each.layer for each in self.includes),
        ]
        found: dict[str, Location] = {}
        for layer in layers:
            for at, mark in enumerate(layer.content.get("marks") or ()):
                found.setdefault(mark.name, layer.at("marks", at))
        return found


@dataclass(frozen=True)
class LayerReader:
    """Reads the layers of one document."""

    path: Path
    rootdir: Path
    raw: Map
    document: Document
    dropped: list[Loc]
    reporter: Reporter

    def read(self, site: Site, target: BackendTarget | None) -> Layers | None:
        """All layers, checked against each other; ``None`` if there are no axes to make cells of."""
        axes = self._axes()
        known = self._known(axes)
        general = [*self._base(), *(layer for values in axes.values() for layer in values.values())]
        backends = sorted({*site.names, *(target.names if target is not None else ())})
        lists = [*self._overrides(), *self._includes_raw()]
        reasons = vocabulary([*general, *(layer for _, layer in lists)])
        check = LayerCheck(target, backends, known, list(axes)[3:], reasons, self.reporter)
        layers = Layers(
            base=tuple(check.layer(layer) for layer in self._base()),
            axes={
                axis: {value: check.layer(layer) for value, layer in values.items()}
                for axis, values in axes.items()
            },
            overrides=tuple(self._checked_overrides(check)),
            excludes=tuple(
                found for each in self.document.exclude or () if (found := check.where(each)) is not None
            ),
            includes=tuple(self._includes(check)),
        )
        unusable = any(isinstance(values, _AnyValue) for values in known.values())
        return None if unusable or not axes["recipe"] else layers

    def _axes(self) -> dict[str, dict[str, Layer]]:
        document = self.document
        recipes = RecipeSource(self.path, self.rootdir, self.reporter).collect(
            document, self.raw, self.dropped
        )
        if not recipes and not self.reporter.has_errors:
            self.reporter.error(location_of(self.raw), "no recipes: name at least one under `recipes:`")
        axes = {
            "recipe": recipes,
            "nodes": self._entries("nodes", document.nodes, "nodes") or self._implied("nodes", "1"),
            "condition": self._entries("condition", document.conditions, "conditions")
            or self._implied("condition", "normal_completion"),
        }
        for name, values in (document.axes or {}).items():
            if name in (*BUILT_IN_AXES, *_KEYS.values(), BACKEND, "where") or name in Fragment.model_fields:
                location = self._key("axes", name)
                self.reporter.error(location, f"axes: {quoted(name)} is a reserved name: choose another")
            layers = self._entries(name, values, "axes", name)
            axes[name] = {value: _with_variable(layer, name, value) for value, layer in layers.items()}
        return axes

    def _entries(self, kind: str, fragments: Any, *path: str) -> dict[str, Layer]:
        found = entries(kind, fragments or {}, self.raw, path, self.dropped)
        return {layer.name.removeprefix(f"{kind} "): layer for layer in found}

    def _implied(self, kind: str, value: str) -> dict[str, Layer]:
        return {value: Layer(f"{kind} {value}", {}, None, location_of(self.raw), is_implied=True)}

    def _key(self, *path: str) -> Location:
        return locate(self.raw, path, location_of(self.raw), key=True)

    def _known(self, axes: Mapping[str, Mapping[str, Layer]]) -> dict[str, list[str]]:
        """The values that a selection may name: all, those of includes, and those already rejected."""
        known = {axis: list(values) for axis, values in axes.items()}
        known["nodes"] += [str(each.nodes) for each in self.document.include or ()]
        for loc in self.dropped:
            for axis, key in _KEYS.items():
                if loc[0] == key and len(loc) > 1:
                    known[axis].append(str(loc[1]))
            if loc[0] == "axes" and len(loc) > 2 and loc[1] in known:
                known[str(loc[1])].append(str(loc[2]))
        unknown_axes = {
            loc[0] if loc[0] != "axes" else loc[1]
            for loc in self.dropped
            if len(loc) == 1 + (loc[0] == "axes")
        }
        if not axes["recipe"]:
            unknown_axes.add("recipes")
        return {
            axis: _AnyValue() if _KEYS.get(axis, axis) in unknown_axes else list(dict.fromkeys(values))
            for axis, values in known.items()
        }

    def _base(self) -> Iterator[Layer]:
        document = self.document
        top = {
            key: getattr(document, key)
            for key in ("classify", "translate", "reasons")
            if getattr(document, key)
        }
        yield Layer("the matrix", top, self.raw, location_of(self.raw))
        if document.defaults is not None:
            yield Layer(
                "defaults",
                document.defaults.explicit_fields(),
                self.raw.get("defaults"),
                self._key("defaults"),
                self._has_errors("defaults"),
            )

    def _has_errors(self, key: str) -> bool:
        return any(loc[0] == key for loc in self.dropped)

    def _overrides(self) -> Iterator[tuple[int, Layer]]:
        raws = {
            location_of(each["where"]): each
            for each in _items(self.raw, "overrides")
            if isinstance(value_at(each, ["where"]), Map)
        }
        for at, each in enumerate(self.document.overrides or ()):
            content = {key: value for key, value in each.explicit_fields().items() if key != "where"}
            yield (
                at,
                Layer(
                    "override",
                    content,
                    raws.get(each.where.location),
                    each.where.location,
                    self._has_errors("overrides"),
                ),
            )

    def _checked_overrides(self, check: LayerCheck) -> Iterator[tuple[Selection, Layer]]:
        for at, layer in self._overrides():
            checked = check.layer(layer, only_backend=True)
            selection = check.where((self.document.overrides or [])[at].where)
            if selection is not None:
                yield selection, checked

    def _includes_raw(self) -> Iterator[tuple[int, Layer]]:
        raws = _items(self.raw, "include")
        removed = {loc[1] for loc in self.dropped if loc[0] == "include" and len(loc) == 2}
        kept = [raw for at, raw in enumerate(raws) if at not in removed]
        for at, each in enumerate(self.document.include or ()):
            raw = kept[at] if at < len(kept) else self.raw
            content = {
                key: value for key, value in each.explicit_fields().items() if key in Fragment.model_fields
            }
            yield at, Layer("include", content, raw, location_of(raw), self._has_errors("include"))

    def _includes(self, check: LayerCheck) -> Iterator[IncludedCell]:
        for at, layer in self._includes_raw():
            checked = check.layer(layer, only_backend=True)
            chosen = include_values((self.document.include or [])[at], layer, check.known, self.reporter)
            if chosen is not None:
                yield IncludedCell(chosen, checked)


def include_values(
    include: Include, layer: Layer, axes: Mapping[str, Collection[str]], reporter: Reporter
) -> dict[str, str] | None:
    """An include's value on each axis; ``None``, and errors, unless it names each with a known value."""
    given: dict[str, Any] = {
        "recipe": include.recipe,
        "nodes": str(include.nodes),
        **(include.__pydantic_extra__ or {}),
    }
    if include.condition is not None:
        given["condition"] = include.condition
    elif list(axes["condition"]) == ["normal_completion"]:
        given["condition"] = "normal_completion"
    good = True
    for name in given:
        if name not in axes:
            reporter.error(layer.key(name), unknown_key(name, [*axes, *Fragment.model_fields]))
            good = False
    for axis, values in axes.items():
        if axis not in given and isinstance(values, _AnyValue):
            good = False
        elif axis not in given:
            reporter.error(
                layer.location, f"include: {axis} is missing: an include has a value of every axis"
            )
            good = False
        elif axis != "nodes" and str(given[axis]) not in values:
            hint = did_you_mean(str(given[axis]), values)
            reporter.error(layer.at(axis), f"include: {axis} has no value {quoted(given[axis])}{hint}")
            good = False
    return {axis: str(given[axis]) for axis in axes} if good else None


def _with_variable(layer: Layer, name: str, value: str) -> Layer:
    return replace(layer, content={**layer.content, "env": {name: value, **(layer.content.get("env") or {})}})


def _items(raw: Map, key: str) -> list[Any]:
    found = raw.get(key)
    return found if isinstance(found, list) else []
