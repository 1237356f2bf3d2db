"""From YAML text to plain values with positions, through PyYAML's C *compose*.

Composing and walking the nodes takes a third of the loading time, and gives positions of keys and values for
free. Scalars keep their source text; the model decides what they mean, not YAML 1.1.
"""

from __future__ import annotations

import gc
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path
from typing import Any

import yaml

from ..model.text import quoted
from .errors import Location
from .errors import Reporter
from .globs import below
from .nodes import location_of
from .nodes import Map
from .nodes import map_of
from .nodes import READINGS
from .nodes import Scalar
from .nodes import Seq
from .nodes import seq_of
from .nodes import TAG
from .raw_file import MAX_BYTES
from .raw_file import read_regular
from .syntax import located_message

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml: the same nodes, more slowly
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

_MAX_DEPTH = 60
_SAFE_DEPTH = 15_000
"""The depth that libyaml's composer, which recurses on the C stack, survives with an 8 MiB stack."""
_MAX_NODES = 2_000_000
"""The most values of a file, with its aliases written out: stops "billion laughs" files."""
_MERGE = f"{TAG}merge"


def display_path(path: Path, rootdir: Path) -> str:
    """``path`` relative to rootdir where possible."""
    names = below(path, rootdir)
    return str(path) if names is None else "/".join(names)


def read_document(path: Path, shown: str, reporter: Reporter) -> Map | Seq | None:
    """Read one YAML or JSON file; ``None`` if that failed, with the mistake in ``reporter``."""
    text = _read_text(path, shown, reporter)
    if text is None:
        return None
    if path.suffix == ".json":
        text = _as_yaml(text)
    return read_text(text, shown, reporter)


def read_text(text: str, shown: str, reporter: Reporter) -> Map | Seq | None:
    """Read YAML; ``shown`` is its name in messages.

    ``None`` if that failed, with the mistake in ``reporter``.
    """
    reporter.lines[shown] = text.splitlines()
    node = _compose(text, shown, reporter)
    if node is None:
        return None
    try:
        _check_size(node, {})
        value = _Walk(reporter).value(node)
    except _Unusable as error:
        reporter.error(location_of(error.node), error.problem)
        return None
    if not isinstance(value, (Map, Seq)):
        reporter.error(location_of(node), "the file must contain a mapping such as `recipes: ...`")
        return None
    return value


def _read_text(path: Path, shown: str, reporter: Reporter) -> str | None:
    location = Location(shown, 1, 1)
    try:
        data = read_regular(path, MAX_BYTES + 1)
    except FileNotFoundError:
        leads = f": the link leads to {quoted(os.readlink(path))}" if path.is_symlink() else ""
        reporter.error(location, f"no such file{leads}")
        return None
    except OSError as error:
        reporter.error(location, f"cannot be read: {error.strerror}")
        return None
    if len(data) > MAX_BYTES:
        reporter.error(location, f"the file is larger than {MAX_BYTES // 2**20} MiB")
        return None
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start]
        line = before.count(b"\n") + 1
        col = len(before.rpartition(b"\n")[2].decode("utf-8", "replace")) + 1
        reporter.error(
            Location(shown, line, col), f"not UTF-8: byte 0x{data[error.start]:02x}; save the file as UTF-8"
        )
        return None


_PAIR = re.compile(r"(?<!\\)(?:\\\\)*\\u([dD][89abAB][0-9a-fA-F]{2})\\u([dD][c-fC-F][0-9a-fA-F]{2})")
"""A character beyond the first 65,536 in JSON's escape. The text before it contains only whole escapes."""


def _as_yaml(text: str) -> str:
    """JSON in a form that a YAML parser accepts: YAML has no tabs between values and no paired escapes."""

    def whole(pair: re.Match[str]) -> str:
        halves = bytes.fromhex(pair[1] + pair[2])
        return pair[0][:-12] + halves.decode("utf-16-be")

    # A string of JSON never contains a raw tab.
    return _PAIR.sub(whole, text.replace("\t", " "))


@contextmanager
def gc_off() -> Iterator[None]:
    """Turn cycle collection off: it would walk all nodes again and again (4x the time of a large file)."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Named(io.StringIO):
    name: str


def _named(text: str, shown: str) -> _Named:
    stream = _Named(text)
    stream.name = shown
    return stream


def _may_overflow(text: str) -> bool:
    """Whether the nesting could overflow the C stack, on which libyaml's composer recurses."""
    return text.count("[") + text.count("{") + 2 * text.count("- - ") + text.count("? ") > _SAFE_DEPTH


def _check_depth(text: str, shown: str) -> None:
    """Raise ComposerError if a file nests too deeply; works on events, so without recursion."""
    loader: Any = _Loader(_named(text, shown))
    depth = 0
    while loader.check_event():
        event = loader.get_event()
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > 1000:
            raise yaml.composer.ComposerError(None, None, "nested too deeply", event.start_mark)


def _compose(text: str, shown: str, reporter: Reporter) -> yaml.Node | None:
    loader = None
    try:
        if _may_overflow(text):
            _check_depth(text, shown)
        loader = _Loader(_named(text, shown))
        node = _single_node(loader, reporter)
    except yaml.MarkedYAMLError as error:
        reporter.error(*located_message(error, shown, reporter.lines[shown]))
        return None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        col = error.position - text.rfind("\n", 0, error.position)
        reporter.error(Location(shown, line, col), "a control character, which YAML does not allow")
        return None
    except (yaml.YAMLError, RecursionError):
        reporter.error(Location(shown, 1, 1), "cannot be read as YAML (nested too deeply?)")
        return None
    finally:
        if loader is not None:
            loader.dispose()
    if node is None and not reporter.has_errors:
        reporter.error(Location(shown, 1, 1), "the file is empty; a matrix needs at least `recipes:`")
    return node


def _single_node(loader: Any, reporter: Reporter) -> yaml.Node | None:
    node: yaml.Node | None = loader.get_node() if loader.check_node() else None
    if node is not None and loader.check_node():
        second = loader.get_node()
        reporter.error(
            location_of(second), "a second YAML document begins here: write each matrix in a file of its own"
        )
    return node


@dataclass
class _Walk:
    """Turns nodes into values; each node once, however many aliases it has."""

    reporter: Reporter
    _values: dict[int, Any] = field(default_factory=dict)

    def value(self, node: yaml.Node) -> Any:
        """The value of a node without cycles, as :func:`_check_size` ensures."""
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if id(node) not in self._values:
            self._values[id(node)] = (
                self._map(node)
                if isinstance(node, yaml.MappingNode)
                else seq_of(node, [self.value(each) for each in node.value])
            )
        return self._values[id(node)]

    def _scalar(self, node: yaml.ScalarNode) -> Scalar | None:
        tag = node.tag
        if tag == "tag:yaml.org,2002:null" and node.value in ("", "~", "null", "Null", "NULL"):
            return None
        if tag.removeprefix(TAG) not in ("str", *READINGS):
            self.reporter.error(location_of(node), f"tags are not supported: {quoted(tag)}")
            node.tag = f"{TAG}str"
        return Scalar.of(node)

    def _map(self, node: yaml.MappingNode) -> Map:
        own = map_of(node, [])
        merged: list[yaml.Node] = []
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                merged.append(value_node)
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                self.reporter.error(location_of(key_node), "a key must be text")
                continue
            key = Scalar.of(key_node)
            value = self.value(value_node)
            if key in own:
                first = own.key(key)
                line = f" (first on line {location_of(first).line})" if first is not None else ""
                self.reporter.error(location_of(key), f"duplicate key {quoted(key)}{line}")
                continue
            own[key] = value
        return self._merged(own, merged) if merged else own

    def _merged(self, own: Map, nodes: list[yaml.Node]) -> Map:
        """Apply ``<<``: own keys win over merged ones, earlier merges over later ones."""
        result = map_of(own.node, [])
        for node in reversed(nodes):
            sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
            for source in reversed(sources):
                value = self.value(source)
                if not isinstance(value, Map):
                    raise _Unusable(source, "`<<` merges mappings only")
                result.update((key, each) for key, each in value.items() if key not in own)
        result.update(own)
        return result


class _Unusable(Exception):
    """A file cannot be used because of this node."""

    def __init__(self, node: yaml.Node, problem: str) -> None:
        super().__init__(problem)
        self.node, self.problem = node, problem


def _check_size(node: yaml.Node, sizes: dict[int, int], parents: tuple[int, ...] = ()) -> int:
    """The number of values in a node, aliases written out. Raises _Unusable, also for a cycle."""
    if isinstance(node, yaml.ScalarNode):
        return 1
    if id(node) in sizes:
        return sizes[id(node)]
    if id(node) in parents:
        raise _Unusable(node, "an alias inside its own anchor")
    if len(parents) >= _MAX_DEPTH:
        raise _Unusable(node, "nested too deeply")
    children = (
        [each for pair in node.value for each in pair] if isinstance(node, yaml.MappingNode) else node.value
    )
    size = 1 + sum(_check_size(each, sizes, (*parents, id(node))) for each in children)
    if size > _MAX_NODES:
        raise _Unusable(node, f"aliases expand to more than {_MAX_NODES} values")
    sizes[id(node)] = size
    return size
