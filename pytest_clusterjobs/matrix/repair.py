"""Repairs mistakes of shape whose intention is clear, so that all other mistakes are found in the same round.

Each mistake is reported with its fix, and the value is then read as intended. Only files that the model has
rejected are repaired.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import dataclass
from dataclasses import field
from typing import Any

from ..model.text import quoted
from .errors import Reporter
from .hints import HINTS
from .model import Document
from .model import Fragment
from .nodes import location_of
from .nodes import Map
from .nodes import map_of
from .nodes import Scalar
from .nodes import scalar_of
from .nodes import Seq
from .nodes import seq_of
from .suggestions import flow_entry
from .suggestions import flow_value
from .suggestions import in_backquotes
from .suggestions import suggestion
from .synonyms import is_nonzero_word
from .synonyms import reason_for

_SECTIONS = ("recipes", "nodes", "axes", "conditions", "defaults")

Report = Callable[[Any, str], None]
"""Records a mistake: the value, and the message."""
Fix = Callable[[str, Any, Report], Any]
"""Returns the intended value, from a key, its value and the function that records mistakes."""


def repaired(top: Map, reporter: Reporter) -> Map:
    """A copy of a file's content without the mistakes, which are reported to ``reporter``."""
    return _walk(_indented(top, reporter), _DOCUMENT, (), reporter)  # type: ignore[no-any-return]


def is_misindented(top: Map) -> bool:
    """Whether a recipe without content is followed by one named like a key of a recipe, too far left."""
    recipes, defaults = top.get("recipes"), top.get("defaults")
    if not isinstance(recipes, Map) or (isinstance(defaults, Map) and "run" in defaults):
        return False
    return any(True for _ in _unindented(recipes))


@dataclass(frozen=True)
class _Rule:
    """The repair of a value and of its content."""

    fix: Fix = lambda name, value, report: value
    keys: Mapping[str, _Rule] = field(default_factory=dict)
    each: _Rule | None = None
    """For every entry of a mapping that ``keys`` does not name."""
    items: _Rule | None = None
    """For every entry of a list."""


def _walk(value: Any, rule: _Rule, path: tuple[str, ...], reporter: Reporter) -> Any:
    def report(at: Any, message: str) -> None:
        where = ".".join(part[:60] for part in path)
        reporter.error(location_of(at), f"{where}: {message}" if where else message)

    value = rule.fix(path[-1] if path else "", value, report)
    if isinstance(value, Map):
        entries = [
            (key, _walk(each, below, (*path, str(key)), reporter) if below is not None else each)
            for key, each in value.pairs()
            for below in [rule.keys.get(str(key), rule.each)]
        ]
        return map_of(value.node, entries)
    if isinstance(value, Seq) and rule.items is not None:
        items = [_walk(each, rule.items, (*path, str(at)), reporter) for at, each in enumerate(value)]
        return seq_of(value.node, items)
    return value


# Keys that are not indented enough


def _indented(top: Map, reporter: Reporter) -> Map:
    """Move keys that follow an empty key, and must belong to it, into that key."""
    result = map_of(top.node, [])
    empty: Scalar | None = None
    for key, value in top.pairs():
        if str(key) in Document.model_fields or key.startswith("x-") or empty is None:
            result[key] = value
            empty = key if value is None and key in _SECTIONS else None
        elif _has_hint(key):
            result[key] = value
        else:
            result[empty] = map_of(top.node, [*(result[empty] or {}).items(), (key, value)])
            message = f"{quoted(key)} is on the level of {empty} (line {location_of(empty).line}), which is empty: indent it below {empty}"
            reporter.error(location_of(key), message)
    for section in ("recipes", "conditions"):
        if isinstance(result.get(section), Map):
            result[section] = _indented_entries(section, result[section], reporter)
    return result


def _has_hint(key: Scalar) -> bool:
    return key.lower().replace("-", "_") in HINTS


def _indented_entries(section: str, entries: Map, reporter: Reporter) -> Map:
    moved = dict(_unindented(entries))
    if not moved:
        return entries
    result = map_of(entries.node, [])
    for key, value in entries.pairs():
        owner = moved.get(key)
        if owner is None:
            result[key] = value
            continue
        result[owner] = map_of(entries.node, [*(result[owner] or {}).items(), (key, value)])
        message = f"{section}: {quoted(key)} is on the level of {quoted(owner)} (line {location_of(owner).line}), which is empty: indent it below {owner}"
        reporter.error(location_of(key), message)
    return result


def _unindented(entries: Map) -> Iterator[tuple[Scalar, Scalar]]:
    """Entries that are named like a key of the empty entry before them; each with that entry."""
    owner: Scalar | None = None
    for key, value in entries.pairs():
        if owner is not None and key in Fragment.model_fields and not _is_fragment(value):
            yield key, owner
        else:
            owner = key if value is None else None


def _is_fragment(value: Any) -> bool:
    return value is None or (isinstance(value, Map) and value.keys() <= Fragment.model_fields.keys())


# Lists in place of mappings, and mappings in place of lists


def _report_mapping(value: Any, example: str, report: Report) -> None:
    """Record that a mapping is needed, such as ``example``."""
    what = "one value" if isinstance(value, Scalar) else "a list"
    report(value, f"expected a mapping, not {what}: {suggestion(example)}")


def _values(name: str, value: Any, report: Report) -> Any:
    """Values of an axis: a list of them, or a mapping."""
    if isinstance(value, Scalar):
        items = [word for word in re.split(r"[,\s]+", value.strip("[]{} ")) if word]
        report(value, f"expected a list: {suggestion(flow_entry(name, items))}")
        return seq_of(value.node, [scalar_of(word, value.node) for word in items])
    return _names(name, value, report)


def _names(name: str, value: Any, report: Report) -> Any:
    """Names in a list, each of them once and without content."""
    if not isinstance(value, Seq):
        return value
    if any(isinstance(each, Map) for each in value):
        return _as_mapping(value, report)
    kept: dict[Any, None] = {}
    for each in value:
        if isinstance(each, Scalar) and each in kept:
            report(each, f"{quoted(each)} is in the list twice")
        elif isinstance(each, Scalar):
            kept[each] = None
        else:
            return value
    return seq_of(value.node, list(kept))


def _as_mapping(value: Seq, report: Report) -> Any:
    """A list of mappings as the one mapping that was intended."""
    pairs = [pair for each in value if (found := _entry(each)) is not None for pair in found]
    shown = next(((key, each) for key, each in pairs if each is not None), pairs[0] if pairs else None)
    if shown is None:
        return value
    first = next(each for each in value if isinstance(each, Map))
    report(
        first,
        f"expected a mapping, not a list of mappings: {suggestion(flow_entry(*shown))} without the dash",
    )
    return map_of(value.node, pairs)


def _entry(item: Any) -> list[tuple[Any, Any]] | None:
    """An item of a list as entries of a mapping; ``None`` if it cannot be one."""
    if isinstance(item, Scalar):
        return [(item, None)]
    if not isinstance(item, Map):
        return None
    name = item.get("name")
    if not isinstance(name, Scalar):
        return list(item.pairs())
    return [(name, map_of(item.node, [pair for pair in item.pairs() if pair[0] != "name"]))]


def _recipes(name: str, value: Any, report: Report) -> Any:
    if isinstance(value, Scalar):
        report(value, f"a recipe needs a name: {suggestion(flow_entry('NAME', value))} below {name}")
        return map_of(value.node, [(scalar_of("NAME", value.node), value)])
    return _names(name, value, report)


def _conditions(name: str, value: Any, report: Report) -> Any:
    items = seq_of(value.node, [value]) if isinstance(value, Scalar) else value
    if not isinstance(items, Seq) or not items:
        return value
    if not all(isinstance(each, Scalar) for each in items):
        return _names(name, items, report)
    _report_mapping(value, flow_entry(items[0], None), report)
    return map_of(items.node, [(each, None) for each in items])


def _fragment(name: str, value: Any, report: Report) -> Any:
    """A fragment, for which its arguments alone are not a short form."""
    if isinstance(value, Seq) and value and all(isinstance(each, Map) for each in value):
        return _as_mapping(value, report)
    if not isinstance(value, Scalar | Seq) or not value:
        return value
    _report_mapping(value, flow_value({"args": value}), report)
    return map_of(value.node, [(scalar_of("args", value.node), value)])


def _recipe(name: str, value: Any, report: Report) -> Any:
    """A recipe, for which its command alone is a short form."""
    return _script(name, value, report) if isinstance(value, Seq) else value


def _script(name: str, value: Any, report: Report) -> Any:
    """A shell script, which is a single text."""
    if not isinstance(value, Seq) or not value:
        return value
    if all(isinstance(each, Map) for each in value):
        return _as_mapping(value, report)
    if not all(isinstance(each, Scalar) for each in value):
        return value
    steps = any(len(each.split()) > 1 for each in value)
    command = "\n".join(value) if steps else shlex.join(value)
    way = f"`{name}: |` and one command per line below it" if steps else in_backquotes(f"{name}: {command}")
    report(value, f"expected a shell script, not a list: write it as one text, {way}")
    return scalar_of(command, value.node, tag="str")


def _variables(name: str, value: Any, report: Report) -> Any:
    """Environment variables."""
    if isinstance(value, Seq) and value and all(isinstance(each, Map) for each in value):
        return _as_mapping(value, report)
    items = value.split() if isinstance(value, Scalar) else value
    if not isinstance(items, list) or not all(isinstance(each, str) and "=" in each for each in items):
        return value
    pairs = [each.partition("=")[::2] for each in items]
    _report_mapping(value, flow_value(dict(pairs)), report)
    made = [(scalar_of(each, value.node), scalar_of(text, value.node, tag="str")) for each, text in pairs]
    return map_of(value.node, made)


def _listed(name: str, value: Any, report: Report) -> Any:
    """A list of mappings."""
    if not isinstance(value, Map) or not value:
        return value
    way = "put it in [ ]" if value.node.flow_style else "write `- ` before the first key of each entry"
    report(value, f"expected a list, not a mapping: {way}")
    return seq_of(value.node, [value])


# Expectations


def _expect(name: str, value: Any, report: Report) -> Any:
    """An expectation, for which a reason or an exit code alone is not a short form."""
    items = [value] if isinstance(value, Scalar) else value
    if not isinstance(items, list) or not items or not all(isinstance(each, Scalar) for each in items):
        return _as_mapping(value, report) if isinstance(value, Seq) and value else value
    codes = all(each.isdigit() or is_nonzero_word(each) for each in items)
    key = "exit_code" if codes else "reason"
    means = [_as_code(each) if codes else reason_for(each) or str(each) for each in items]
    meaning = means if isinstance(value, Seq) else means[0]
    _report_mapping(value, flow_entry(name, {key: meaning}), report)
    inner = [scalar_of(each, word.node) for each, word in zip(means, items, strict=True)]
    return map_of(value.node, [(scalar_of(key, value.node), seq_of(value.node, inner))])


def _as_code(word: str) -> str:
    return word if word.isdigit() else "nonzero"


def _value_of(key: str, *kinds: type[Scalar | Seq]) -> Fix:
    """Repairs a mapping that consists of the value of its ``key``, if that is of one of these kinds."""

    def fix(name: str, value: Any, report: Report) -> Any:
        if not isinstance(value, kinds) or not value:
            return value
        _report_mapping(value, flow_entry(name, {key: value}), report)
        return map_of(value.node, [(scalar_of(key, value.node), value)])

    return fix


def _metrics(name: str, value: Any, report: Report) -> Any:
    return _as_mapping(value, report) if isinstance(value, Seq) and value else value


def _tolerance(name: str, value: Any, report: Report) -> Any:
    """Both sides of a tolerance in one text."""
    numbers = (
        [re.fullmatch(r"[-+]?([0-9.]+)%?", str(each)) for each in value] if isinstance(value, Seq) else []
    )
    if len(numbers) != 2 or None in numbers:
        return value
    below, above = (found[1] for found in numbers if found is not None)
    text = f"-{below}%..+{above}%"
    report(value, f"expected one text, not a list: {suggestion(flow_entry(name, text))}")
    return scalar_of(text, value.node)


_METRICS = _Rule(_metrics, each=_Rule(_value_of("pattern", Scalar), {"tolerance": _Rule(_tolerance)}))
_FRAGMENT_KEYS = {
    "run": _Rule(_script),
    "setup": _Rule(_script),
    "env": _Rule(_variables),
    "expect": _Rule(_expect, {"log": _Rule(_value_of("contains", Scalar, Seq)), "metrics": _METRICS}),
    "classify": _Rule(_listed),
}
_ENTRY = _Rule(_fragment, _FRAGMENT_KEYS)
_AXIS = _Rule(_values, each=_ENTRY)
_LIST = _Rule(_listed, items=_Rule(keys=_FRAGMENT_KEYS))
_DOCUMENT = _Rule(
    keys={
        "defaults": _ENTRY,
        "recipes": _Rule(_recipes, each=_Rule(_recipe, _FRAGMENT_KEYS)),
        "nodes": _AXIS,
        "axes": _Rule(_names, each=_AXIS),
        "conditions": _Rule(_conditions, each=_ENTRY),
        "overrides": _LIST,
        "include": _LIST,
        "exclude": _Rule(_listed),
        "classify": _Rule(_listed),
    }
)
