"""The cells of a matrix, and their locations."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Mapping

import pytest

from pytest_clusterjobs.matrix import Matrix
from pytest_clusterjobs.matrix.where import Selection

Load = Callable[..., Matrix]
Mistakes = Callable[..., list[str]]


def ids(matrix: Matrix) -> list[str]:
    return [cell.id for cell in matrix.cells]


BASE = """\
recipes: {a: x, b: y}
nodes: [1, 2]
conditions: {c: {}, d: {}}
"""


def test_the_cross_product_in_the_order_of_the_file(load: Load) -> None:
    matrix = load(
        """\
        recipes:
          b: x
          a: y
        nodes: [2, 1]
        axes: {PRECISION: [bf16, fp32]}
        conditions:
          z: {}
          y: {}
        """
    )
    assert len(matrix.cells) == 16
    assert ids(matrix)[:4] == ["b-2n-z-bf16", "b-2n-z-fp32", "b-2n-y-bf16", "b-2n-y-fp32"]
    cell = matrix.cells[0]
    assert cell.axes == {"recipe": "b", "nodes": "2", "condition": "z", "PRECISION": "bf16"}
    assert (cell.spec.nodes, cell.spec.env, cell.line) == (2, {"PRECISION": "bf16"}, 7)


def test_without_nodes_and_conditions_a_recipe_runs_on_one_node_and_completes(load: Load) -> None:
    assert ids(load("recipes: {a: x}")) == ["a-1n-normal_completion"]


def test_a_list_may_have_one_node_count_or_one_axis_value(load: Load) -> None:
    assert ids(load("recipes: {a: x}\nnodes: [4]\naxes: {P: [1]}")) == ["a-4n-normal_completion-1"]


def test_exclude_removes_cells(load: Load) -> None:
    matrix = load(BASE + "exclude: [{recipe: a, nodes: 2}, {condition: d, recipe: [b]}]")
    assert ids(matrix) == ["a-1n-c", "a-1n-d", "b-1n-c", "b-2n-c"]


def test_include_adds_a_cell_that_only_and_exclude_do_not_remove(load: Load) -> None:
    matrix = load(
        """\
        recipes: {a: {run: x, only: {nodes: 1}}}
        nodes: [1, 2]
        conditions: {c: {}, d: {}}
        exclude: [{condition: d}]
        include:
          - {recipe: a, nodes: 8, condition: d, marks: [nightly], description: big}
        """
    )
    assert ids(matrix) == ["a-1n-c", "a-8n-d"]
    included = matrix.cells[1]
    assert (included.line, included.spec.nodes, included.spec.description) == (6, 8, "big")
    assert included.marks[0].name == "nightly"


def test_a_cell_must_match_the_only_of_every_layer(load: Load) -> None:
    matrix = load(
        """\
        recipes: {a: {run: x, only: {nodes: [1, 2]}}, b: y}
        nodes: [1, 2, 4]
        conditions: {c: {only: {nodes: [2, 4]}}}
        """
    )
    assert ids(matrix) == ["a-2n-c", "b-2n-c", "b-4n-c"]


def test_null_removes_an_only(load: Load) -> None:
    matrix = load(
        """\
        defaults: {only: {nodes: 1}}
        recipes: {a: {run: x, only: null}, b: y}
        nodes: [1, 2]
        """
    )
    assert ids(matrix) == ["a-1n-normal_completion", "a-2n-normal_completion", "b-1n-normal_completion"]


def test_only_on_backend_skips_a_cell_and_keeps_its_id(load: Load) -> None:
    text = "recipes: {a: {run: x, only: {backend: slurm}}, b: y}\n"
    local, slurm, named = (load(text, backend=name) for name in ("local", "slurm", "big"))
    assert ids(local) == ids(slurm) == ids(named) == ["a-1n-normal_completion", "b-1n-normal_completion"]
    assert [cell.skip for cell in local.cells] == ["only for backend slurm", None]
    assert [cell.skip for cell in slurm.cells] == [None, None]
    # A NAME counts as its type too.
    assert [cell.skip for cell in named.cells] == [None, None]


def test_exclude_on_backend_skips_as_well(load: Load) -> None:
    text = BASE + "exclude: [{backend: local, nodes: 2}]"
    local = load(text)
    assert [cell.skip for cell in local.cells][2:4] == ["excluded on backend local"] * 2
    assert {cell.skip for cell in load(text, backend="slurm").cells} == {None}


def test_an_override_for_another_backend_has_no_effect_and_is_valid(load: Load) -> None:
    text = "recipes: {a: x}\noverrides: [{where: {backend: slurm}, max_runtime: 5m}]"
    assert load(text).cells[0].spec.max_runtime == 7200
    assert load(text, backend="big").cells[0].spec.max_runtime == 300


def test_the_backend_of_the_command_line_overrides_the_files(load: Load) -> None:
    text = "backend: slurm\nrecipes: {a: x}"
    assert [load(text).cells[0].backend, load(text, backend="local").cells[0].backend] == ["slurm", "local"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("exclude: [{recipe: a, nodes: 1}, {recipe: c}]", "4:43: recipe has no value 'c'; there are a, b"),
        ("exclude: [{recpie: a}]", "4:12: unknown axis 'recpie', did you mean 'recipe'?"),
        ("exclude: [{nodes: 3}]", "4:19: nodes has no value '3'; there are 1, 2"),
        ("exclude: [{recipe: []}]", "4:12: exclude.0: 'recipe' takes a value or a list of values"),
        ("exclude: [{}]", "4:11: exclude.0: a selection maps axes to values: {nodes: [1, 2], condition: normal_completion}"),
        ("exclude: [{backend: slrum}]", "4:21: backend has no value 'slrum', did you mean 'slurm'?"),
        ("overrides: [{where: {condition: e}, max_runtime: 1m}]", "4:33: condition has no value 'e'; there are c, d"),
        ("overrides: [{max_runtime: 1m}]", "4:13: overrides.0: where is missing"),
        ("overrides: [{where: {nodes: 2}, only: {nodes: 2}}]", "4:39: `only` may name only `backend` here: `where`, or the include, selects the cells"),
        ("include: [{recipe: a, nodes: 3}]", "4:11: include: condition is missing: an include has a value of every axis"),
        ("include: [{nodes: 3, condition: c}]", "4:11: include.0: recipe is missing"),
        ("include: [{recipe: ab, nodes: 3, condition: c}]", "4:20: include: recipe has no value 'ab', did you mean 'b'?"),
        ("include: [{recipe: a, nodes: 3, condition: c, PRECISON: 1}]", "4:47: unknown key 'PRECISON'"),
        ("include: [{recipe: a, nodes: 2, condition: c}]", "4:11: duplicate cell a-2n-c (first from line 3)"),
        ("include: [{recipe: a, nodes: 3, condition: c}, {recipe: a, nodes: 3, condition: c}]", "4:48: duplicate cell a-3n-c (first from line 4)"),
        ("axes: {X: [b, b]}", "4:15: axes.X: 'b' is in the list twice"),
        ("axes: {X: []}", "4:11: axes.X: at least one entry is required"),
        ("axes: {X: [a b]}", "4:12: axes.X.a b: 'a b' cannot be part of a test id; use letters, digits and . _ + - (at most 100)"),
        ("axes: {run: [a]}", "4:8: axes: 'run' is a reserved name: choose another"),
        ("axes: {backend: [a]}", "4:8: axes: 'backend' is a reserved name: choose another"),
        ("axes: {X-Y: [a]}", "4:8: axes.X-Y: 'X-Y' is not a valid name of an environment variable: use letters, digits and _"),
        ("axes: {X: [a]}\ndefaults: {env: {X: 1}}", "5:18: env: X is an axis: each cell sets its value"),
        ("axes: {X: {a: {env: {X: 1}}}}", "4:22: env: X is an axis: each cell sets its value"),
    ],
)  # fmt: skip
def test_an_invalid_selection_is_a_mistake(mistakes: Mistakes, text: str, message: str) -> None:
    (found,) = mistakes(BASE + text)
    assert found.startswith(message)


def test_a_selection_that_matches_nothing_is_a_mistake(mistakes: Mistakes) -> None:
    text = """\
        recipes: {a: {run: x, only: {nodes: 1}}, b: {run: y, only: {nodes: 2, condition: d}}}
        nodes: [1, 2]
        conditions: {c: {}, d: {only: {recipe: a}}}
        exclude: [{recipe: a, nodes: 2}]
        overrides: [{where: {recipe: a, nodes: 2}, max_runtime: 1h}]
        """
    assert mistakes(text) == [
        "1:60: only: this excludes every cell of recipe b",
        "4:11: exclude: this matches no cell",
        "5:21: overrides: this where matches no cell",
    ]


def test_a_matrix_without_cells_is_a_mistake(mistakes: Mistakes) -> None:
    assert mistakes("recipes: {a: x}\nexclude: [{recipe: a}]") == [
        "1:1: the matrix has no cells: only and exclude remove all of them"
    ]


def test_equal_ids_from_different_values_are_a_mistake(mistakes: Mistakes) -> None:
    text = """\
        recipes: {a: x}
        conditions: {c: {}, c-d: {}}
        axes: {A: [e, d-e], B: [f]}
        """
    assert mistakes(text) == ["2:21: duplicate cell a-1n-c-d-e-f (first from line 2)"]


def test_too_large_a_product_is_refused_before_it_is_built(mistakes: Mistakes) -> None:
    values = ", ".join(map(str, range(100)))
    (found,) = mistakes(
        f"recipes: {{a: x}}\naxes: {{A: [{values}], B: [{values}], C: [{values}], D: [{values}]}}"
    )
    assert found == "1:1: the matrix has 100000000 cells; the limit is 100000"


def test_what_a_backend_cannot_do_is_a_mistake_at_the_condition(mistakes: Mistakes) -> None:
    text = "recipes: {a: x}\nnodes: [1, 3, 4]\nconditions:\n  c: {}"
    assert mistakes(text, backend="big") == [
        "4:3: backend big: a job has at most 2 nodes here, not 3 (cell a-3n-c)",
        "4:3: backend big: a job has at most 2 nodes here, not 4 (cell a-4n-c)",
    ]


@pytest.mark.parametrize(
    ("text", "backend", "message"),
    [
        ("backend: lcoal\nrecipes: {a: x}", None, "1:10: backend: unknown backend 'lcoal', did you mean 'local'?"),
        ("backend: slurm\nrecipes: {a: x}", "lcoal", "1:1: --cluster-backend: unknown backend 'lcoal', did you mean 'local'?"),
        ("recipes: {a: {run: x, options: {slrum: {}}}}", None, "1:33: options: unknown backend 'slrum', did you mean 'slurm'?"),
        ("recipes: {a: {run: x, options: {local: {slot: 1}}}}", None, "1:41: options.local: unknown option 'slot', did you mean 'slots'?"),
        ("recipes: {a: {run: x, options: {big: {slots: 1}}}}", "big", "1:39: options.big: unknown option 'slots'; there are account, extra, partition, time"),
    ],
)  # fmt: skip
def test_an_unknown_backend_or_option_is_a_mistake(
    mistakes: Mistakes, text: str, backend: str | None, message: str
) -> None:
    (found,) = mistakes(text, backend=backend)
    assert found.startswith(message)


def test_a_cell_is_compared_only_with_overrides_that_may_match_it(
    load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def matches(self: Selection, axes: Mapping[str, str]) -> bool:
        asked.append(self)
        return plain(self, axes)

    plain = Selection.matches
    monkeypatch.setattr(Selection, "matches", matches)
    recipes = [f"r{at}" for at in range(300)]
    wheres = [f"{{nodes: {1 + at % 2}, recipe: [r{at}, r{299 - at}]}}" for at in range(300)]
    excludes = [f"{{recipe: r{at}, condition: b, nodes: 2}}" for at in range(0, 300, 3)]
    matrix = load(
        f"recipes: [{', '.join(recipes)}]\nnodes: [1, 2]\nconditions: {{a: {{}}, b: {{}}}}\ndefaults: {{run: x}}\n"
        + f"exclude: [{', '.join(excludes)}]\n"
        + "overrides:\n- {where: {backend: local}, env: {ALL: 1}}\n"
        + "".join(f"- {{where: {where}, env: {{N{at}: 1}}}}\n" for at, where in enumerate(wheres))
    )
    assert len(matrix.cells) == 1100
    for cell in matrix.cells:
        own = int(cell.axes["recipe"][1:])
        mine = {at for at in (own, 299 - own) if 1 + at % 2 == cell.spec.nodes}
        assert set(cell.spec.env) == {"ALL"} | {f"N{at}" for at in mine}
    assert len(asked) <= 4 * 1200


def test_a_cell_is_located_at_its_recipe_if_the_file_has_no_condition(load: Load) -> None:
    assert [cell.line for cell in load("nodes: [1]\nrecipes:\n  a: x\n  b: y").cells] == [3, 4]
    assert [cell.line for cell in load("recipes: {a: x}\nconditions:\n  c: {}").cells] == [3]
