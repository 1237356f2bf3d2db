"""The lines of keys in a TOML file: every key that ``tomllib`` reads has the line of its statement."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from pytest_clusterjobs.backends.toml_lines import line_of

MINE = ("tool", "clusterjobs", "backends", "mine")

NASTY = r'''# a comment with = and [brackets]
top = 1
"quoted.key" = 'x'  # [not.a.table]

[tool.clusterjobs.backends.mine]
type = "slurm" # = 3
folder = """
[tool.not.this]
key = 3 \"""
"""
literal = """a "quoted" end"""""
single = \'\'\'
it\'s [here]
ends with two''\'\'\'
list = [
    "a # b", # comment ]
    { deep = "x", er = [1, 2] },
    3,
]
cluster = { name = "c", "odd = key" = 2, nested = {a.b = 1} }
a . "b c" . d = true
1979-05-27 = 1979-05-27T07:32:00Z
"tab\tand ü" = 1

[tool.clusterjobs.backends.mine.task]
resources.cpus = 2
resources.gpus = { kind = "x" }

[ tool . clusterjobs . 'backends' . "next.one" ]
empty = {}
nothing = []

[[many]]
a = 1
[many.below]
b = 2
[[many.below.twice]]
[[many.below.twice]]
d = 4
[[many]]
a = 3
[many.below]
c = 1
'''.replace(r"\'", "'")


def paths(value: Any, above: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, below in items:
        yield (*above, key)
        yield from paths(below, (*above, key))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_line_is_that_of_the_statement_that_sets_the_key(newline: str) -> None:
    written = NASTY.split("\n")
    text = NASTY.replace("\n", newline)
    for path in paths(tomllib.loads(NASTY)):
        line = line_of(text, path)
        assert line is not None
        # The elements of an array are set by the statement of the array.
        key = "list" if "list" in path else [key for key in path if isinstance(key, str)][-1]
        assert key.split("\t")[0] in written[line - 1], (path, line)
    assert line_of(text, (*MINE, "type")) == 6
    assert line_of(text, (*MINE, "cluster", "name")) == line_of(text, (*MINE, "cluster"))
    assert line_of(text, ("many", 1, "below", "c")) == written.index("c = 1") + 1


@pytest.mark.parametrize("text", [(Path(__file__).parents[2] / "pyproject.toml").read_text(), "a=1", "[a]"])
def test_every_key_has_a_line(text: str) -> None:
    assert all(line_of(text, path) for path in list(paths(tomllib.loads(text)))[::10])


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a", "b", "c"), 2),
        (("a", "b", "missing"), 1),
        (("a", "b", "c", "below"), 2),
        (("a", "other", "c"), None),
        (("b",), None),
    ],
)
def test_a_key_that_is_not_there_has_the_line_of_its_table_or_none(
    path: tuple[str, ...], line: int | None
) -> None:
    assert line_of("[a.b]\nc = 1\n", path, 2) == line


def test_a_long_file_is_read_in_time() -> None:
    text = "".join(f"[t{number}]\nkey = 1\n" for number in range(2000))
    assert line_of(text, ("t1999", "key")) == 4000


def test_dedented_text_needs_no_final_newline() -> None:
    text = dedent("""
        [a]
        b = 'c'""")
    assert line_of(text, ("a", "b")) == 3
