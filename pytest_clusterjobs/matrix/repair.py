"""Mistakes of shape whose meaning is plain: each is told with what to write instead, and then read as it was meant.

So what else is wrong with the file is told in the same round. Used only for files that the model has refused.
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

import yaml

from .errors import printable
from .errors import quoted
from .errors import Reporter
from .hints import INSTEAD
from .model import Document
from .model import Fragment
from .nodes import Map
from .nodes import READINGS
from .nodes import Scalar
from .nodes import Seq
from .nodes import spot_of
from .nodes import TAG
from .synonyms import meant
from .synonyms import says_nonzero

_SECTIONS = ("recipes", "nodes", "axes", "conditions", "defaults")
_LONGEST = 80
"""Characters of what a message tells to write."""

Tell = Callable[[Any, str], None]
"""Notes a mistake: what it is about, and the words for it."""
Fix = Callable[[str, Any, Tell], Any]
"""A key, its value and a way to tell of mistakes, to what was meant: the value itself if nothing is to be said."""


def repaired(top: Map, reporter: Reporter) -> Map:
    """A copy of a file's content with the mistakes mended that ``reporter`` has been told of."""
    return _walk(_indented(top, reporter), _DOCUMENT, (), reporter)  # type: ignore[no-any-return]


def misplaced(top: Map) -> bool:
    """Whether a recipe without content is followed by one that has the name of a recipe's key: it is too far left."""
    recipes, defaults = top.get("recipes"), top.get("defaults")
    if not isinstance(recipes, Map) or (isinstance(defaults, Map) and "run" in defaults):
        return False
    return any(True for _ in _too_far_left(recipes))


@dataclass(frozen=True)
class _Rule:
    """How to mend a value, and what is in it."""

    fix: Fix = lambda name, value, tell: value
    keys: Mapping[str, _Rule] = field(default_factory=dict)
    each: _Rule | None = None
    """Of every entry of a mapping that ``keys`` does not name."""
    items: _Rule | None = None
    """Of every entry of a list."""


def _walk(value: Any, rule: _Rule, path: tuple[str, ...], reporter: Reporter) -> Any:
    def tell(at: Any, message: str) -> None:
        where = ".".join(part[:60] for part in path)
        reporter.error(spot_of(at), f"{where}: {message}" if where else message)

    value = rule.fix(path[-1] if path else "", value, tell)
    if isinstance(value, Map):
        entries = [
            (key, _walk(each, below, (*path, str(key)), reporter) if below is not None else each)
            for key, each in value.pairs()
            for below in [rule.keys.get(str(key), rule.each)]
        ]
        return _map(value.node, entries)
    if isinstance(value, Seq) and rule.items is not None:
        items = [_walk(each, rule.items, (*path, str(at)), reporter) for at, each in enumerate(value)]
        return _seq(value.node, items)
    return value


# Keys that stand further left than they were meant to.


def _indented(top: Map, reporter: Reporter) -> Map:
    """Keys behind an empty one that can only belong to it, moved there."""
    result = _map(top.node, [])
    empty: Scalar | None = None
    for key, value in top.pairs():
        if str(key) in Document.model_fields or key.startswith("x-") or empty is None:
            result[key] = value
            empty = key if value is None and key in _SECTIONS else None
        elif _says_else(key):
            result[key] = value
        else:
            result[empty] = _map(top.node, [*(result[empty] or {}).items(), (key, value)])
            message = f"{quoted(key)} stands beside {empty}, which is empty: indent it below {empty} (line {spot_of(empty).line})"
            reporter.error(spot_of(key), message)
    for section in ("recipes", "conditions"):
        if isinstance(result.get(section), Map):
            result[section] = _indented_entries(section, result[section], reporter)
    return result


def _says_else(key: Scalar) -> bool:
    return key.lower().replace("-", "_") in INSTEAD


def _indented_entries(section: str, entries: Map, reporter: Reporter) -> Map:
    moved = dict(_too_far_left(entries))
    if not moved:
        return entries
    result = _map(entries.node, [])
    for key, value in entries.pairs():
        owner = moved.get(key)
        if owner is None:
            result[key] = value
            continue
        result[owner] = _map(entries.node, [*(result[owner] or {}).items(), (key, value)])
        message = f"{section}: {quoted(key)} stands beside {quoted(owner)}, which is empty: indent it below {owner} (line {spot_of(owner).line})"
        reporter.error(spot_of(key), message)
    return result


def _too_far_left(entries: Map) -> Iterator[tuple[Scalar, Scalar]]:
    """Entries that look like a key of the one before them, which has no content; each with that."""
    owner: Scalar | None = None
    for key, value in entries.pairs():
        if owner is not None and key in Fragment.model_fields and not _is_fragment(value):
            yield key, owner
        else:
            owner = key if value is None else None


def _is_fragment(value: Any) -> bool:
    return value is None or (isinstance(value, Map) and value.keys() <= Fragment.model_fields.keys())


# Lists and mappings, each where the other should be.


def _values(name: str, value: Any, tell: Tell) -> Any:
    """Values of an axis: a list of them, or a mapping."""
    if isinstance(value, Scalar):
        words = [word for word in re.split(r"[,\s]+", value.strip("[]{} ")) if word]
        tell(value, f"a list is needed: {_write(_flow(name, words))}")
        return _seq(value.node, [_scalar(word, value.node) for word in words])
    return _names(name, value, tell)


def _names(name: str, value: Any, tell: Tell) -> Any:
    """Names in a list, of which each stands once and none has content."""
    if not isinstance(value, Seq):
        return value
    if any(isinstance(each, Map) for each in value):
        return _undashed(value, tell)
    kept: dict[Any, None] = {}
    for each in value:
        if isinstance(each, Scalar) and each in kept:
            tell(each, f"{quoted(each)} stands twice in the list")
        elif isinstance(each, Scalar):
            kept[each] = None
        else:
            return value
    return _seq(value.node, list(kept))


def _undashed(value: Seq, tell: Tell) -> Any:
    """A list of mappings as the one mapping that was meant."""
    pairs = [pair for each in value if (found := _entry(each)) is not None for pair in found]
    shown = next(((key, each) for key, each in pairs if each is not None), pairs[0] if pairs else None)
    if shown is None:
        return value
    first = next(each for each in value if isinstance(each, Map))
    tell(first, f"a mapping is needed, not a list of mappings: {_write(_flow(*shown))} without the dash")
    return _map(value.node, pairs)


def _entry(item: Any) -> list[tuple[Any, Any]] | None:
    """What an item of a list says as entries of a mapping."""
    if isinstance(item, Scalar):
        return [(item, None)]
    if not isinstance(item, Map):
        return None
    name = item.get("name")
    if not isinstance(name, Scalar):
        return list(item.pairs())
    return [(name, _map(item.node, [pair for pair in item.pairs() if pair[0] != "name"]))]


def _recipes(name: str, value: Any, tell: Tell) -> Any:
    if isinstance(value, Scalar):
        tell(value, f"a recipe needs a name: {_write(_flow('NAME', value))} below {name}")
        return _map(value.node, [(_scalar("NAME", value.node), value)])
    return _names(name, value, tell)


def _conditions(name: str, value: Any, tell: Tell) -> Any:
    items = _seq(value.node, [value]) if isinstance(value, Scalar) else value
    if not isinstance(items, Seq) or not items:
        return value
    if not all(isinstance(each, Scalar) for each in items):
        return _names(name, items, tell)
    what = "one value" if isinstance(value, Scalar) else "a list"
    tell(value, f"a mapping is needed, not {what}: {_write(_flow(items[0], None))}")
    return _map(items.node, [(each, None) for each in items])


def _fragment(name: str, value: Any, tell: Tell) -> Any:
    """A fragment, of which its arguments are no short form."""
    if isinstance(value, Seq) and value and all(isinstance(each, Map) for each in value):
        return _undashed(value, tell)
    if not isinstance(value, Scalar | Seq) or not value:
        return value
    what = "one value" if isinstance(value, Scalar) else "a list"
    tell(value, f"a mapping is needed, not {what}: {_write(_shown({'args': value}))}")
    return _map(value.node, [(_scalar("args", value.node), value)])


def _recipe(name: str, value: Any, tell: Tell) -> Any:
    """A recipe, of which its command is the short form."""
    return _script(name, value, tell) if isinstance(value, Seq) else value


def _script(name: str, value: Any, tell: Tell) -> Any:
    """A shell script, which is one text."""
    if not isinstance(value, Seq) or not value:
        return value
    if all(isinstance(each, Map) for each in value):
        return _undashed(value, tell)
    if not all(isinstance(each, Scalar) for each in value):
        return value
    steps = any(len(each.split()) > 1 for each in value)
    command = "\n".join(value) if steps else shlex.join(value)
    way = f"`{name}: |` and a command a line below it" if steps else _inner(f"{name}: {command}")
    tell(value, f"a shell script is needed, not a list: write it as one text, {way}")
    return _scalar(command, value.node, tag="str")


def _variables(name: str, value: Any, tell: Tell) -> Any:
    """Environment variables."""
    if isinstance(value, Seq) and value and all(isinstance(each, Map) for each in value):
        return _undashed(value, tell)
    items = value.split() if isinstance(value, Scalar) else value
    if not isinstance(items, list) or not all(isinstance(each, str) and "=" in each for each in items):
        return value
    pairs = [each.partition("=")[::2] for each in items]
    what = "one value" if isinstance(value, Scalar) else "a list"
    tell(value, f"a mapping is needed, not {what}: {_write(_shown(dict(pairs)))}")
    made = [(_scalar(each, value.node), _scalar(text, value.node, tag="str")) for each, text in pairs]
    return _map(value.node, made)


def _listed(name: str, value: Any, tell: Tell) -> Any:
    """A list of mappings."""
    if not isinstance(value, Map) or not value:
        return value
    way = "put it in [ ]" if value.node.flow_style else "write `- ` before the first key of each entry"
    tell(value, f"a list is needed, not a mapping: {way}")
    return _seq(value.node, [value])


# What a job is expected to do.


def _expect(name: str, value: Any, tell: Tell) -> Any:
    """An expectation, of which a reason or an exit code is no short form."""
    words = [value] if isinstance(value, Scalar) else value
    if not isinstance(words, list) or not words or not all(isinstance(each, Scalar) for each in words):
        return _undashed(value, tell) if isinstance(value, Seq) and value else value
    codes = all(each.isdigit() or says_nonzero(each) for each in words)
    key = "exit_code" if codes else "reason"
    means = [_as_code(each) if codes else meant(each) or str(each) for each in words]
    meaning = means if isinstance(value, Seq) else means[0]
    what = "one value" if isinstance(value, Scalar) else "a list"
    tell(value, f"a mapping is needed, not {what}: {_write(_flow(name, {key: meaning}))}")
    inner = [_scalar(each, word.node) for each, word in zip(means, words, strict=True)]
    return _map(value.node, [(_scalar(key, value.node), _seq(value.node, inner))])


def _as_code(word: str) -> str:
    return word if word.isdigit() else "nonzero"


def _log(name: str, value: Any, tell: Tell) -> Any:
    if not isinstance(value, Scalar | Seq) or not value:
        return value
    what = "one value" if isinstance(value, Scalar) else "a list"
    tell(value, f"a mapping is needed, not {what}: {_write(_flow(name, {'contains': value}))}")
    return _map(value.node, [(_scalar("contains", value.node), value)])


def _metrics(name: str, value: Any, tell: Tell) -> Any:
    return _undashed(value, tell) if isinstance(value, Seq) and value else value


def _metric(name: str, value: Any, tell: Tell) -> Any:
    if not isinstance(value, Scalar):
        return value
    tell(value, f"a mapping is needed, not one value: {_write(_flow(name, {'pattern': value}))}")
    return _map(value.node, [(_scalar("pattern", value.node), value)])


def _tolerance(name: str, value: Any, tell: Tell) -> Any:
    """Both sides of a tolerance in one text."""
    numbers = (
        [re.fullmatch(r"[-+]?([0-9.]+)%?", str(each)) for each in value] if isinstance(value, Seq) else []
    )
    if len(numbers) != 2 or None in numbers:
        return value
    below, above = (found[1] for found in numbers if found is not None)
    text = f"-{below}%..+{above}%"
    tell(value, f"one text is needed, not a list: {_write(_flow(name, text))}")
    return _scalar(text, value.node)


# Values at a place of the file.


def _map(node: Any, pairs: list[tuple[Any, Any]]) -> Map:
    result = Map()
    result.node = node
    for key, value in pairs:
        result.setdefault(key, value)
    return result


def _seq(node: Any, items: list[Any]) -> Seq:
    result = Seq(items)
    result.node = node
    return result


def _scalar(text: str, at: yaml.Node, tag: str = "") -> Scalar:
    """A plain scalar, read as YAML would."""
    if not tag:
        resolver: Any = yaml.resolver.Resolver()
        tag = resolver.resolve(yaml.ScalarNode, text, (True, False)).removeprefix(TAG)
    tag = tag if tag in READINGS else "str"
    return Scalar.of(yaml.ScalarNode(f"{TAG}{tag}", text, at.start_mark, at.end_mark))


# What to write.


def _write(text: str) -> str:
    return f"write {_inner(text)}"


def _inner(text: str) -> str:
    plain = printable(text)
    return f"`{plain if len(plain) <= _LONGEST else plain[: _LONGEST - 3] + '...'}`"


def _flow(key: Any, value: Any) -> str:
    return f"{key}: {_shown(value)}"


def _shown(value: Any) -> str:
    """A value as it could stand in a file, in one line."""
    if isinstance(value, dict):
        return "{" + ", ".join(_flow(key, each) for key, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_shown, value)) + "]"
    text = "{}" if value is None else str(value)
    if "\n" in text:
        return "..."
    return "'" + text.replace("'", "''") + "'" if value is not None and _needs_quotes(text) else text


def _needs_quotes(text: str) -> bool:
    return re.search(r"^$|^[*&!%@`|>?#\"']|^-(?![\w-])|[][{},]|: | #|:$", text) is not None


_METRICS = _Rule(_metrics, each=_Rule(_metric, {"tolerance": _Rule(_tolerance)}))
_FRAGMENT_KEYS = {
    "run": _Rule(_script),
    "setup": _Rule(_script),
    "env": _Rule(_variables),
    "expect": _Rule(_expect, {"log": _Rule(_log), "metrics": _METRICS}),
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
