from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.matrix import load_matrix
from pytest_clusterjobs.matrix import Matrix
from pytest_clusterjobs.matrix import MatrixErrors

Load = Callable[..., Matrix]
Mistakes = Callable[..., list[str]]


def problems(path: Path, site: Site) -> list[str]:
    with pytest.raises(MatrixErrors) as caught:
        load_matrix(path, rootdir=path.parent, site=site)
    return [f"{each.path}:{each.line}:{each.col}: {each.message}" for each in caught.value.problems]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "m.yaml:1:1: the file is empty; a matrix needs at least `recipes:`"),
        (b"# only a comment\n", "m.yaml:1:1: the file is empty; a matrix needs at least `recipes:`"),
        (b"just text", "m.yaml:1:1: the file must contain a mapping such as `recipes: ...`"),
        (b"- a\n", "m.yaml:1:1: a matrix is a mapping: recipes, nodes, conditions, ..."),
        (
            b"recipes: {a: x}\n---\nb: 1\n",
            "m.yaml:3:1: a second YAML document begins here: write each matrix in a file of its own",
        ),
        (b"recipes:\n\ta: x\n", "m.yaml:2:1: YAML does not allow tabs for indentation; use spaces"),
        (b"recipes:\n  a: \xe9\n", "m.yaml:2:6: not UTF-8: byte 0xe9; save the file as UTF-8"),
        (b"recipes: {a: \x07}\n", "m.yaml:1:14: a control character, which YAML does not allow"),
        (b'recipes: {a: "\\x07"}\n', "m.yaml:1:14: recipes.a.run: control character \\x07 in text"),
        (b'recipes: {a: "a\\0b"}\n', "m.yaml:1:14: recipes.a.run: control character \\x00 in text"),
        (b"recipes: {a: x\n", "m.yaml:1:10: the { that opens here is not closed before line 2"),
        (
            b"recipes: {a: *nope}\n",
            "m.yaml:1:14: no anchor has this name; a text that begins with * must be in quotes",
        ),
        (b"recipes: {a: !!python/name:os.system x}\n", "m.yaml:1:14: tags are not supported: "),
        (b"recipes: {a: !vault x}\n", "m.yaml:1:14: tags are not supported: '!vault'"),
        (b"? [a]\n: b\nrecipes: {a: x}\n", "m.yaml:1:3: a key must be text"),
        (b"recipes: &a {b: *a}\n", "m.yaml:1:10: an alias inside its own anchor"),
        (b"recipes: {a: {<<: [1]}}\n", "m.yaml:1:20: `<<` merges mappings only"),
    ],
)
def test_a_file_that_cannot_be_read_is_one_clear_mistake(
    tmp_path: Path, site: Site, content: bytes, message: str
) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(content)
    found = problems(path, site)
    assert len(found) == 1
    assert found[0].startswith(message)


def test_a_missing_file_a_folder_and_a_fifo_are_mistakes_too(tmp_path: Path, site: Site) -> None:
    os.mkfifo(tmp_path / "fifo.yaml")
    (tmp_path / "folder.yaml").mkdir()
    for name in ("none.yaml", "fifo.yaml", "folder.yaml"):
        assert problems(tmp_path / name, site) == [f"{name}:1:1: no such file"]


def test_a_file_of_more_than_16_mib_is_refused(tmp_path: Path, site: Site) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes(b"#" * (16 * 2**20 + 1))
    assert problems(path, site) == ["m.yaml:1:1: the file is larger than 16 MiB"]


def test_aliases_that_explode_are_refused_quickly(tmp_path: Path, site: Site) -> None:
    levels = [f"x-{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    path = tmp_path / "m.yaml"
    path.write_text("\n".join(["x-0: &a0 [lol]", *levels, "recipes: {a: x}"]))
    (only,) = problems(path, site)
    assert "aliases expand to more than 2000000 values" in only


@pytest.mark.parametrize("opening", ["[", "{a: ", "- ", "? "])
def test_nesting_that_would_overflow_the_c_stack_is_refused(tmp_path: Path, opening: str) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("x-a:\n  " + opening * 400_000)
    script = (
        "import sys, pathlib\n"
        "from pytest_clusterjobs.matrix import load_matrix, MatrixErrors\n"
        "from pytest_clusterjobs.backends.registry import Site\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "try: load_matrix(path, rootdir=path.parent, site=Site())\n"
        "except MatrixErrors as error: print(len(error.problems))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout) == (0, "1\n"), ran.stderr


def test_a_duplicate_key_is_a_mistake_at_the_second_one(mistakes: Mistakes) -> None:
    text = """\
        recipes:
          a: x
          b: y
          a: z
        recipes: {}
        """
    assert mistakes(text) == [
        "4:3: duplicate key 'a' (first on line 2)",
        "5:1: duplicate key 'recipes' (first on line 1)",
    ]


def test_anchors_and_merge_keys_work(load: Load) -> None:
    matrix = load(
        """\
        x-gpu: &gpu {env: {A: 1, B: 2}, max_runtime: 5m}
        x-long: &long {max_runtime: 1h, description: long}
        recipes:
          a: {<<: *gpu, run: x, env: {C: 3}}
          b: {<<: [*gpu, *long], run: y}
          c: *gpu
        conditions: {ok: {run: z}}
        """
    )
    a, b, c = (cell.spec for cell in matrix.cells)
    assert (a.env, a.max_runtime) == ({"C": "3"}, 300)
    assert (b.env, b.max_runtime, b.description) == ({"A": "1", "B": "2"}, 300, "long")
    assert (c.run, c.env) == ("z", {"A": "1", "B": "2"})


def test_a_mistake_that_an_alias_repeats_is_reported_once_at_the_anchor(mistakes: Mistakes) -> None:
    text = """\
        x-base: &base {max_runtime: 5}
        recipes: {a: {<<: *base, run: x}, b: {<<: *base, run: y}}
        """
    first, second = mistakes(text)
    assert first.startswith("1:29: recipes.a.max_runtime: a duration needs a unit")
    assert second.startswith("1:29: recipes.b.max_runtime: a duration needs a unit")


def test_env_axes_and_args_keep_their_source_text(load: Load) -> None:
    matrix = load(
        """\
        recipes: {a: {run: x, args: [1e3, 0x1F, on, 2020-01-01], env: {A: 3.10, B: on, C: 08, D: 1:30, E: 2020-01-01, F: 1_000, G: 0o7, H: "", y: No}}}
        axes: {V: [3.10, on, 08, 1e3]}
        """
    )
    assert [cell.axes["V"] for cell in matrix.cells] == ["3.10", "on", "08", "1e3"]
    spec = matrix.cells[0].spec
    assert spec.args == ("1e3", "0x1F", "on", "2020-01-01")
    expected = {
        "A": "3.10",
        "B": "on",
        "C": "08",
        "D": "1:30",
        "E": "2020-01-01",
        "F": "1_000",
        "G": "0o7",
        "H": "",
        "y": "No",
    }
    assert spec.env == {**expected, "V": "3.10"}
    assert all(
        type(value) is str
        for value in (*spec.env, *spec.env.values(), *spec.args, *matrix.cells[0].axes.values())
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipes: {on: x}", "1:11: recipes.on: YAML reads on as a boolean, but text is expected here: write 'on'"),
        ("recipes: [a, no]\ndefaults: {run: x}", "1:14: recipes.no: YAML reads no as a boolean, but text is expected here: write 'no'"),
        ("recipes: {1e3: x}", "1:11: recipes.1e3: YAML reads 1e3 as a number, but text is expected here: write '1e3'"),
        ("recipes: {08: x}", "1:11: recipes.08: YAML reads 08 as a number, but text is expected here: write '08'"),
        ("recipes: {a: no}", "1:14: recipes.a.run: YAML reads no as a boolean, but text is expected here: write 'no'"),
        ("recipes: {a: 2020-01-01}", "1:14: recipes.a.run: YAML reads 2020-01-01 as a date, but text is expected here: write '2020-01-01'"),
        ("recipes: {a: {run: x, owner: null, description: 1:30}}", "1:49: recipes.a.description: YAML reads 1:30 as a number, but text is expected here: write '1:30'"),
        ("recipes: {a: x}\nconditions: {~: {}}", "2:14: conditions.~: YAML reads ~ as nothing, but text is expected here: write '~'"),
        ("recipes: {a: x}\nnodes: [01]", "2:9: nodes.01: expected a whole number, not '01'"),
        ("recipes: {a: x}\nnodes: ['2']", "2:9: nodes.2: expected a whole number, not '2' (text)"),
        ("recipes: {a: {run: x, options: {local: {slots: 1:30}}}}", "1:48: recipes.a.options.local.slots: YAML reads 1:30 as a number or as text, depending on its version: write '1:30' or another form"),
        ("recipes: {a: {run: x, options: {local: {slots: yes}}}}", "1:48: recipes.a.options.local.slots: YAML reads yes as a boolean or as text, depending on its version: write 'yes' or another form"),
    ],
)  # fmt: skip
def test_what_yaml_1_1_reads_as_something_else_is_a_mistake_with_the_fix(
    mistakes: Mistakes, text: str, message: str
) -> None:
    assert mistakes(text) == [message]


def test_importing_the_package_imports_neither_yaml_nor_pydantic() -> None:
    script = "import sys, pytest_clusterjobs.matrix; print({'yaml', 'pydantic'} & set(sys.modules))"
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert ran.stdout == "set()\n"


def test_a_pyyaml_without_libyaml_gives_the_same_cells(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        "x-a: &a {run: x, env: {A: on, B: '1'}}\nrecipes: {a: {<<: *a}, on: y}\nnodes: [1, 08]\nconditions: {c: {max_runtime: 5}}"
    )
    script = (
        "import sys, pathlib, yaml\n"
        "if sys.argv[2] == 'pure': del yaml.CSafeLoader\n"
        "from pytest_clusterjobs.matrix import load_matrix, MatrixErrors\n"
        "from pytest_clusterjobs.backends.registry import Site\n"
        "path = pathlib.Path(sys.argv[1])\n"
        "try: load_matrix(path, rootdir=path.parent, site=Site())\n"
        "except MatrixErrors as error: print(error)\n"
    )
    shown = [
        subprocess.run(
            [sys.executable, "-c", script, str(path), kind], capture_output=True, text=True, check=True
        ).stdout
        for kind in ("c", "pure")
    ]
    assert shown[0] == shown[1]
    assert shown[0].count("m.yaml:") == 3


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path, site: Site) -> None:
    path = tmp_path / "m.yaml"
    path.write_bytes("\ufeffrecipes:\r\n  a: x\r\nnodes: [1]\r\n".encode())
    assert [cell.spec.run for cell in load_matrix(path, rootdir=tmp_path, site=site).cells] == ["x"]
