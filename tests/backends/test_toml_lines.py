"""The lines of keys in a TOML file: every key that ``tomllib`` reads has the line on which it is written."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from pytest_clusterjobs.backends.toml_lines import key_lines
from pytest_clusterjobs.backends.toml_lines import line_of

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


@pytest.mark.parametrize(
    "text", [NASTY, (Path(__file__).parents[2] / "pyproject.toml").read_text(), "", "\n\n", "a=1", "[a]"]
)
def test_every_key_has_a_line(text: str) -> None:
    assert key_lines(text).keys() == set(paths(tomllib.loads(text)))


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_the_line_is_the_one_on_which_the_key_is_written(newline: str) -> None:
    lines = key_lines(NASTY.replace("\n", newline))
    written = NASTY.split("\n")
    for path, line in lines.items():
        # An element of an array has no key, but stands on the line of its array or below.
        if isinstance(path[-1], str):
            assert path[-1].split("\t")[0] in written[line - 1], (path, line)
    mine = ("tool", "clusterjobs", "backends", "mine")
    assert lines[*mine, "type"] == 6
    assert (
        lines[*mine, "cluster", "name"]
        == written.index('cluster = { name = "c", "odd = key" = 2, nested = {a.b = 1} }') + 1
    )
    assert [lines[*mine, "list", number] - lines[*mine, "list"] for number in range(3)] == [1, 2, 3]


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
    assert line_of(key_lines("[a.b]\nc = 1\n"), path, 2) == line


@pytest.mark.parametrize(
    "text", ["[a]\nb = 1\nc = 'x", "[a]\nb = 1\n[c", "[a]\nb = 1\nc = [1,", "[a]\nb = 1\n= 3"]
)
def test_what_precedes_an_invalid_part_is_found(text: str) -> None:
    lines = key_lines(text)
    assert (lines["a",], lines["a", "b"]) == (1, 2)


def test_a_long_file_is_read_in_time() -> None:
    text = "".join(f"[t{number}]\nkey = 1\n" for number in range(2000))
    assert line_of(key_lines(text), ("t1999", "key")) == 4000


def test_dedented_text_needs_no_final_newline() -> None:
    text = dedent("""
        [a]
        b = 'c'""")
    assert key_lines(text)["a", "b"] == 3
