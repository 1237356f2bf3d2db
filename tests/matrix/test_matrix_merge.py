"""The order of layers, and how the values of two layers are merged."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from pytest_clusterjobs.matrix import Matrix
from pytest_clusterjobs.model import Cell
from pytest_clusterjobs.model import Mark
from pytest_clusterjobs.model import Resources

Load = Callable[..., Matrix]
Mistakes = Callable[..., list[str]]


def only_cell(matrix: Matrix) -> Cell:
    (cell,) = matrix.cells
    return cell


LAYERS = {
    "defaults": "defaults: {%s}\nrecipes: {r: {run: x}}",
    "recipe": "recipes: {r: {run: x, %s}}",
    "nodes": "recipes: {r: {run: x}}\nnodes: {1: {%s}}",
    "axes": "recipes: {r: {run: x}}\naxes: {A: {v: {%s}}}",
    "condition": "recipes: {r: {run: x}}\nconditions: {c: {%s}}",
    "override": "recipes: {r: {run: x}}\noverrides: [{where: {recipe: r}, %s}]",
}


@pytest.mark.parametrize("text", LAYERS.values(), ids=LAYERS)
def test_every_layer_is_the_same_fragment(load: Load, text: str) -> None:
    assert only_cell(load(text % "max_runtime: 7m")).spec.max_runtime == 420


def test_the_layers_apply_in_the_order_of_the_manual(load: Load) -> None:
    matrix = load(
        """\
        defaults: {env: {D: defaults, R: defaults, N: defaults, X: defaults, C: defaults, O: defaults, P: defaults}}
        recipes: {r: {run: x, env: {R: recipe, N: recipe, X: recipe, C: recipe, O: recipe, P: recipe}}}
        nodes: {1: {env: {N: nodes, X: nodes, C: nodes, O: nodes, P: nodes}}}
        axes: {A: {v: {env: {X: axes, C: axes, O: axes, P: axes}}}}
        conditions: {c: {env: {C: condition, O: condition, P: condition}}}
        overrides:
        - {where: {condition: c}, env: {O: override, P: override}}
        - {where: {condition: c}, env: {P: second override}}
        include: [{recipe: r, nodes: 2, condition: c, A: v, env: {P: include}}]
        """
    )
    first, included = (cell.spec.env for cell in matrix.cells)
    expected = {
        "D": "defaults",
        "R": "recipe",
        "N": "nodes",
        "A": "v",
        "X": "axes",
        "C": "condition",
        "O": "override",
    }
    assert first == {**expected, "P": "second override"}
    assert included == {**expected, "N": "recipe", "P": "include"}


def test_null_removes_the_value_of_a_lower_layer(load: Load) -> None:
    matrix = load(
        """\
        defaults:
          env: {A: 1, B: 2}
          heartbeat_timeout: 1m
          args: --a
          marks: [slow]
          expect: {reason: job_failed, log: {contains: [x], excludes: [y]}}
          options: {local: {slots: 2}}
          resources: {gpus: 1, cpus: 2}
        recipes:
          all: {run: x, env: null, heartbeat_timeout: null, args: null, marks: null, expect: null, options: null, resources: ~}
          some: {run: x "$@", env: {A: null}, expect: {log: {contains: null}}, options: {local: {slots: null}}, resources: {gpus: null}}
        """
    )
    none, some = matrix.cells
    assert (none.spec.env, none.spec.heartbeat_timeout, none.spec.args, none.marks) == ({}, None, (), ())
    assert (none.expect.reasons, none.expect.log.contains, none.spec.options) == (("job_completed",), (), {})
    assert none.spec.resources == Resources()
    assert (some.spec.env, some.expect.log.contains, some.expect.log.excludes) == ({"B": "2"}, (), ("y",))
    assert (some.spec.options, some.spec.resources) == ({}, Resources(cpus=2))


def test_env_resources_and_options_merge_deeply_and_their_lists_replace(load: Load) -> None:
    matrix = load(
        """\
        backend: slurm
        defaults:
          env: {A: 1}
          resources: {gpus: 4}
          options: {slurm: {partition: small, extra: {a: 1, b: [1, 2]}}}
        recipes:
          r: {run: x, env: {B: 2}, resources: {memory: 1GiB}, options: {slurm: {account: me, extra: {b: [3], c: {d: 1}}}}}
        """
    )
    spec = only_cell(matrix).spec
    assert spec.env == {"A": "1", "B": "2"}
    assert spec.resources == Resources(gpus=4, memory=2**30)
    assert spec.options == {"partition": "small", "account": "me", "extra": {"a": 1, "b": [3], "c": {"d": 1}}}


def test_expect_merges_deeply_with_reason_and_exit_code_as_a_pair(load: Load) -> None:
    matrix = load(
        """\
        defaults: {expect: {exit_code: 3, restarts: 0, log: {contains: a}, metrics: {M: {pattern: (x), min: 1}}}}
        recipes: {r: x}
        conditions:
          same: {}
          reason: {expect: {reason: job_completed}}
          code: {expect: {exit_code: 4, log: {contains: [b, c], excludes: d}, metrics: {M: {max: 2}, N: {pattern: (y)}}}}
        """
    )
    same, reason, code = (cell.expect for cell in matrix.cells)
    assert (same.reasons, same.exit_codes) == (("job_failed",), (3,))
    assert (reason.reasons, reason.exit_codes) == (("job_completed",), (0,))
    assert (code.reasons, code.exit_codes) == (("job_failed",), (4,))
    assert code.restarts == same.restarts
    assert (code.log.contains, code.log.excludes) == (("b", "c"), ("d",))
    assert (code.metrics["M"].min, code.metrics["M"].max, code.metrics["N"].pattern) == (1, 2, "(y)")


def test_args_marks_and_fixtures_append_without_duplicates(load: Load) -> None:
    matrix = load(
        """\
        defaults: {args: --a 'b c', marks: [slow, {timeout: 30}], fixtures: db}
        recipes: {r: {run: x, marks: [slow]}}
        conditions: {c: {args: [--d, e f], marks: fast, fixtures: [db, net]}}
        """
    )
    cell = only_cell(load("recipes: {r: {run: x, args: --a}}\nconditions: {c: {args: --b}}"))
    assert cell.spec.args == ("--a", "--b")
    cell = only_cell(
        load(
            """\
            recipes: {r: {marks: [slow]}}
            defaults: {run: x, args: --a 'b c', marks: [slow, {timeout: 30}], fixtures: db}
            conditions: {c: {args: [--d, e f], marks: fast, fixtures: [db, net]}}
            """
        )
    )
    assert cell.spec.args == ("--a", "b c", "--d", "e f")
    assert cell.marks == (Mark("slow"), Mark("timeout", (30,)), Mark("fast"))
    assert cell.fixtures == ("db", "net")
    # The recipe's own run drops what defaults gave as arguments.
    assert only_cell(matrix).spec.args == ("--d", "e f")


def test_a_layer_that_sets_run_drops_lower_args_and_keeps_its_own(load: Load) -> None:
    matrix = load(
        """\
        recipes: {r: {run: x, args: --steps 50}}
        conditions:
          normal: {}
          fails: {run: exit 3}
          other: {run: y, args: --own}
        """
    )
    normal, fails, other = (cell.spec for cell in matrix.cells)
    assert (normal.run, normal.args) == ('x "$@"', ("--steps", "50"))
    assert (fails.run, fails.args) == ("exit 3", ())
    assert (other.run, other.args) == ('y "$@"', ("--own",))


@pytest.mark.parametrize(
    ("condition", "override", "key"),
    [
        (
            "heartbeat_timeout: 1s, expect: {reason: heartbeat_timeout}",
            "heartbeat_timeout: 1h",
            "heartbeat_timeout",
        ),
        (
            "heartbeat_timeout: 1s, expect: {reason: heartbeat_timeout}",
            "heartbeat_timeout: null",
            "heartbeat_timeout",
        ),
        ("max_runtime: 2s", "max_runtime: 1h", "max_runtime"),
        ("env: {A: 1}", "env: {A: 2}", "env.A"),
        ("env: {A: 1}", "env: null", "env"),
        ("expect: {reason: job_failed}", "expect: {exit_code: 0}", "expect.reason"),
        ("expect: {exit_code: 3}", "expect: {exit_code: 4}", "expect.exit_code"),
        ("expect: {log: {contains: a}}", "expect: {log: {contains: b}}", "expect.log.contains"),
        ("args: --x", "run: y", "args"),
        ("run: y", "run: z", "run"),
        ("marks: slow", "marks: null", "marks"),
    ],
)
def test_an_override_that_replaces_part_of_a_condition_must_name_it(
    load: Load, mistakes: Mistakes, condition: str, override: str, key: str
) -> None:
    text = "recipes: {r: x}\nconditions: {c: {%s}}\noverrides: [{where: {%s}, %s}]"
    found = mistakes(text % (condition, "recipe: r", override))[-1]
    assert f"this replaces {key} of condition 'c'" in found
    assert "if that is intended, name `condition` in its where" in found
    if key != "heartbeat_timeout" or "1h" in override:
        load(text % (condition, "condition: c", override))


@pytest.mark.parametrize(
    ("condition", "override"),
    [
        ("env: {A: 1}", "env: {B: 2}"),
        ("expect: {exit_code: 3}", "expect: {restarts: 0}"),
        ("args: --x", "args: --y"),
        ("marks: slow", "marks: fast"),
        ("max_runtime: 2s", "queue_timeout: 1h"),
    ],
)
def test_an_override_that_only_adds_need_not_name_the_condition(
    load: Load, condition: str, override: str
) -> None:
    text = "recipes: {r: x}\nconditions: {c: {%s}}\noverrides: [{where: {recipe: r}, %s}]"
    assert load(text % (condition, override)).cells


def test_options_of_the_name_override_those_of_its_type(load: Load) -> None:
    text = """\
        recipes:
          r: {run: x, options: {local: {slots: 1}, big: {partition: huge}, slurm: {partition: small, account: me}}}
        """
    assert only_cell(load(text, backend="slurm")).spec.options == {"partition": "small", "account": "me"}
    assert only_cell(load(text, backend="big")).spec.options == {"partition": "huge", "account": "me"}
    assert only_cell(load(text, backend="local")).spec.options == {"slots": 1}


def test_values_of_options_and_marks_have_their_types(load: Load) -> None:
    cell = only_cell(
        load(
            """\
            backend: slurm
            recipes:
              r:
                run: x
                options: {slurm: {extra: [1, -2, 1.5, true, text, "1:30", null, {a: false}]}}
                marks:
                - nightly
                - skip: not today
                - xfail: {reason: bug 7, strict: true, run: false}
                - xfail: bug 8
                - skipif: {condition: "sys.platform == 'win32'", reason: POSIX}
                - timeout: 30
                - timeout: 2m
                - data: [1, two]
                - plain:
            """
        )
    )
    assert cell.spec.options == {"extra": [1, -2, 1.5, True, "text", "1:30", None, {"a": False}]}
    assert cell.marks == (
        Mark("nightly"),
        Mark("skip", (), {"reason": "not today"}),
        Mark("xfail", (), {"reason": "bug 7", "strict": True, "run": False}),
        Mark("xfail", (), {"reason": "bug 8"}),
        Mark("skipif", (), {"condition": "sys.platform == 'win32'", "reason": "POSIX"}),
        Mark("timeout", (30,)),
        Mark("timeout", (120.0,)),
        Mark("data", (1, "two")),
        Mark("plain"),
    )


def test_every_key_of_a_fragment_reaches_the_cell(load: Load) -> None:
    cell = only_cell(
        load(
            """\
            recipes:
              r:
                run: train
                shell: sh
                setup: pip install .
                secrets: [TOKEN]
                workdir: /data
                image: repo/image:1
                heartbeat_timeout: 30s
                max_runtime: 1h
                queue_timeout: 2h
                grace_period: 5s
                max_restarts: 2
                infra_retries: 3
                owner: team-a
                description: |
                  Two
                  lines
            """
        )
    )
    spec = cell.spec
    assert (spec.name, spec.recipe, spec.condition, spec.nodes) == (cell.id, "r", "normal_completion", 1)
    assert (spec.run, spec.shell, spec.setup, spec.secrets) == ("train", "sh", "pip install .", ("TOKEN",))
    assert (spec.workdir, spec.image, spec.owner, spec.description) == (
        "/data",
        "repo/image:1",
        "team-a",
        "Two\nlines\n",
    )
    assert (spec.heartbeat_timeout, spec.max_runtime, spec.queue_timeout, spec.grace_period) == (
        30,
        3600,
        7200,
        5,
    )
    assert (spec.max_restarts, cell.infra_retries) == (2, 3)


def test_keys_that_are_not_set_have_the_documented_defaults(load: Load) -> None:
    cell = only_cell(load("recipes: {r: x}"))
    spec = cell.spec
    assert (spec.max_runtime, spec.queue_timeout, spec.grace_period) == (7200, 43200, 10)
    assert (spec.heartbeat_timeout, spec.max_restarts, cell.infra_retries) == (None, 0, 0)
    assert (spec.shell, cell.backend) == ("bash", "local")
