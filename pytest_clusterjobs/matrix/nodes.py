"""Plain values with their positions in a file."""

from __future__ import annotations

import re
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any
from typing import cast

import yaml

from .errors import Location

TAG = "tag:yaml.org,2002:"
# Text that YAML 1.2 parsers (editors, other tools) read as a number and YAML 1.1 reads as text.
_YAML_1_2_NUMBER = re.compile(r"[-+]?(?:0[0-9]*[89][0-9]*|[0-9]+(?:\.[0-9]*)?[eE][-+]?[0-9]+|0o[0-7]+)")
_DECIMAL = re.compile(r"[-+]?(?:0|[1-9][0-9]*)")
READINGS = {
    "bool": "a boolean",
    "null": "nothing",
    "int": "a number",
    "float": "a number",
    "timestamp": "a date",
    "merge": "a merge",
    "value": "a default",
}


class Scalar(str):
    """The source text of a scalar, with its node."""

    __slots__ = ("node",)
    node: yaml.ScalarNode

    @classmethod
    def of(cls, node: yaml.ScalarNode) -> Scalar:
        """The scalar of a composed node."""
        scalar = cls(node.value)
        scalar.node = node
        return scalar

    @property
    def kind(self) -> str:
        """``str``, ``int``, ``float``, ``bool``, ``null``, or ``ambiguous`` where YAML versions disagree."""
        tag = self.node.tag.removeprefix(TAG)
        if self.node.style not in (None, "") or "\n" in self:
            return "str"
        if tag == "str":
            return "ambiguous" if _YAML_1_2_NUMBER.fullmatch(self) else "str"
        if tag == "int":
            return "int" if _DECIMAL.fullmatch(self) else "ambiguous"
        if tag == "bool":
            return "bool" if self.lower() in ("true", "false") else "ambiguous"
        if tag == "float":
            return "ambiguous" if ":" in self or "_" in self else "float"
        return tag if tag == "null" else "ambiguous"

    @property
    def reading(self) -> str:
        """How YAML reads the text, for messages: ``a date``."""
        return READINGS.get(self.node.tag.removeprefix(TAG), "a number")


class Seq(list[Any]):
    """A sequence, with its node."""

    __slots__ = ("node",)
    node: yaml.SequenceNode


class Map(dict[str, Any]):
    """A mapping, merge keys applied, with its node. Its keys are scalars and have positions."""

    __slots__ = ("node",)
    node: yaml.MappingNode

    def pairs(self) -> Iterable[tuple[Scalar, Any]]:
        """The items, with scalars as keys."""
        return cast("Iterable[tuple[Scalar, Any]]", self.items())

    def key(self, name: object) -> Scalar | None:
        """The key equal to ``name`` with its position."""
        return next((key for key, _ in self.pairs() if key == name), None)

    def is_bare(self, name: str) -> bool:
        """Whether this key is between { } without a colon: usually a piece of text split by a comma."""
        return self.node.flow_style is True and any(
            key.value == name and value.value == "" and value.start_mark.index <= key.end_mark.index
            for key, value in self.node.value
        )


def location_of(value: Scalar | Seq | Map | yaml.Node) -> Location:
    """Where a value starts."""
    node = value if isinstance(value, yaml.Node) else value.node
    return Location(node.start_mark.name, node.start_mark.line + 1, node.start_mark.column + 1)


def value_at(root: Any, path: Sequence[object]) -> Any:
    """The value at ``path``; ``None`` if there is none."""
    for part in path:
        if isinstance(root, Map):
            root = root.get(str(part))
        elif isinstance(root, list) and isinstance(part, int) and part < len(root):
            root = root[part]
        else:
            return None
    return root


def locate(root: Any, path: Sequence[object], fallback: Location, *, key: bool = False) -> Location:
    """The location of the value at ``path``, or of its ``key``; the nearest one if there is none."""
    location = fallback
    for at, part in enumerate(path):
        if isinstance(root, Map):
            name = root.key(part)
            if name is None:
                break
            location, root = location_of(name), root[name]
            if key and at == len(path) - 1:
                break
        elif isinstance(root, list) and isinstance(part, int) and part < len(root):
            root = root[part]
        elif isinstance(root, list):
            root = next((each for each in root if each == part), None)
        else:
            break
        if isinstance(root, (Scalar, Seq, Map)):
            location = location_of(root)
    return location


def map_of(node: Any, pairs: list[tuple[Any, Any]]) -> Map:
    """A mapping with these entries; of two entries with the same key the first is kept."""
    result = Map()
    result.node = node
    for key, value in pairs:
        result.setdefault(key, value)
    return result


def seq_of(node: Any, items: list[Any]) -> Seq:
    """A list of these items."""
    result = Seq(items)
    result.node = node
    return result


def scalar_of(text: str, at: yaml.Node, tag: str = "") -> Scalar:
    """A plain scalar, with the meaning that YAML gives it."""
    if not tag:
        resolver: Any = yaml.resolver.Resolver()
        tag = resolver.resolve(yaml.ScalarNode, text, (True, False)).removeprefix(TAG)
    tag = tag if tag in READINGS else "str"
    return Scalar.of(yaml.ScalarNode(f"{TAG}{tag}", text, at.start_mark, at.end_mark))
