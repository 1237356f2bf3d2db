"""Mistakes as a table of matrices and messages, and how they are shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.matrix import load_matrix
from pytest_clusterjobs.matrix import Matrix
from pytest_clusterjobs.matrix import MatrixErrors

Load = Callable[..., Matrix]
Mistakes = Callable[..., list[str]]


def test_five_mistakes_of_five_kinds_are_reported_at_once_and_shown_in_place(load: Load) -> None:
    text = """\
        recipes:
          arena: python -m train arena
          arena: python -m train arena2
        nodes: [1, 2]
        conditions:
          normal_completion: {max_runtme: 20m}
          hang: {heartbeat_timeout: 30, expect: {reason: hartbeat_timeout}}
        exclude:
        - {recipe: arena, nodes: 4}
        """
    with pytest.raises(MatrixErrors) as caught:
        load(text)
    assert str(caught.value) == dedent("""\
        matrices/m.yaml:3:3: duplicate key 'arena' (first on line 2)
            arena: python -m train arena2
            ^
        matrices/m.yaml:6:23: unknown key 'max_runtme', did you mean 'max_runtime'?
            normal_completion: {max_runtme: 20m}
                                ^
        matrices/m.yaml:7:29: conditions.hang.heartbeat_timeout: a duration needs a unit: 30s, 30m or 30h
            hang: {heartbeat_timeout: 30, expect: {reason: hartbeat_timeout}}
                                      ^
        matrices/m.yaml:7:50: unknown reason 'hartbeat_timeout', did you mean 'heartbeat_timeout'?
            hang: {heartbeat_timeout: 30, expect: {reason: hartbeat_timeout}}
                                                           ^
        matrices/m.yaml:9:26: nodes has no value '4'; there are 1, 2
          - {recipe: arena, nodes: 4}
                                   ^""")
    first = caught.value.problems[0]
    assert (first.path, first.line, first.col) == ("matrices/m.yaml", 3, 3)
    assert first.source_line == "  arena: python -m train arena2"


def test_mistakes_of_every_stage_are_reported_together(mistakes: Mistakes) -> None:
    text = """\
        backend: lcoal
        recipes: {a: {run: x | y, args: --z, shell: fish}, b: y}
        conditions: {c: {expect: {reason: max_runtime_reached, exit_code: 124}}}
        overrides: [{where: {recipe: b}, expect: {reason: job_failed}}]
        include: [{recipe: b, nodes: 1, condition: c}]
        """
    found = mistakes(text)
    assert [each.partition(": ")[0] for each in found] == ["1:10", "2:45", "3:67", "4:43", "5:11"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        # Keys of other tools.
        ("fail-fast: true", "2:1: unknown key 'fail-fast': stop early with pytest -x or --maxfail=N"),
        ("max-parallel: 4", "2:1: unknown key 'max-parallel': limit how many jobs run at once with --cluster-max-jobs or --cluster-max-nodes"),
        ("parallel: 4", "2:1: unknown key 'parallel': limit how many jobs run at once with --cluster-max-jobs"),
        ("matrix: {}", "2:1: unknown key 'matrix': axes are written at the top level: recipes, nodes, conditions, and axes for more"),
        ("strategy: {}", "2:1: unknown key 'strategy': axes are written at the top level"),
        ("defaults: {timeout: 30m}", "2:12: unknown key 'timeout': use max_runtime (the job) or marks: [{timeout: SECONDS}] (the test)"),
        ("defaults: {retries: 3}", "2:12: unknown key 'retries': use infra_retries"),
        ("defaults: {needs: x}", "2:12: unknown key 'needs': cells do not depend on each other"),
        ("defaults: {command: x}", "2:12: unknown key 'command': the command is `run`"),
        ("defaults: {gpus: 4}", "2:12: unknown key 'gpus': it belongs under resources: {gpus, cpus, memory}"),
        ("defaults: {partition: big}", "2:12: unknown key 'partition': options of one backend belong under options: {BACKEND: {...}}"),
        ("defaults: {backend: local}", "2:12: unknown key 'backend': it belongs at the top level, or use --cluster-backend NAME"),
        ("defaults: {skip: x}", "2:12: unknown key 'skip': it is a mark: marks: [...]"),
        ("defaults: {exit_code: 3}", "2:12: unknown key 'exit_code': it belongs under expect"),
        # Misspelt ones.
        ("condition: {}", "2:1: unknown key 'condition', did you mean 'conditions'?"),
        ("defaults: {Max-Runtime: 1m}", "2:12: unknown key 'Max-Runtime', did you mean 'max_runtime'?"),
        ("defaults: {resources: {gpu: 4}}", "2:24: unknown key 'gpu', did you mean 'gpus'?"),
        ("include: [{recipe: r, nodes: 2, condition: normal_completion, ownr: me}]", "2:63: unknown key 'ownr', did you mean 'owner'?"),
        # Values.
        ("defaults: {max_runtime: 20}", "2:25: defaults.max_runtime: a duration needs a unit: 20s, 20m or 20h"),
        ("defaults: {max_runtime: [1m]}", "2:25: defaults.max_runtime: expected one value, not a list"),
        ("defaults: {grace_period: 0s}", "2:26: defaults.grace_period: a duration must be more than 0"),
        ("defaults: {resources: {memory: 64}}", "2:32: defaults.resources.memory: a size needs a unit: 64GiB"),
        ("defaults: {resources: {gpus: four}}", "2:30: defaults.resources.gpus: expected a whole number, not 'four'"),
        ("defaults: {resources: {gpus: -1}}", "2:30: defaults.resources.gpus: expected a whole number from 0 to 1024, not -1"),
        ("defaults: {resources: 4}", "2:23: defaults.resources: expected a mapping, not one value"),
        ("defaults: {max_restarts: 1.5}", "2:26: defaults.max_restarts: expected a whole number, not '1.5'"),
        ("defaults: {infra_retries: 21}", "2:27: defaults.infra_retries: expected a whole number from 0 to 20, not 21"),
        ("defaults: {shell: zsh}", "2:19: defaults.shell: expected one of bash, sh, not 'zsh'"),
        ("defaults: [x]", "2:11: defaults: expected a mapping, not a list"),
        ("defaults: {setup: ''}", "2:19: defaults.setup: the script is empty: write `:` for a command that does nothing"),
        ("defaults: {owner: ' '}", "2:19: defaults.owner: the text is empty"),
        ("defaults: {workdir: \"a\\nb\"}", "2:21: defaults.workdir: expected one line of text"),
        ("nodes: {2x: {}}", "2:9: nodes.2x: expected a whole number, not '2x'"),
        ("nodes: 2", "2:8: nodes: expected a list: write `nodes: [2]`"),
        ("conditions: {}", "2:13: conditions: at least one entry is required"),
        ("conditions: {a b: {}}", "2:14: conditions.a b: 'a b' cannot be part of a test id"),
        ("conditions: {'a[1]': {}}", "2:14: conditions.a[1]: 'a[1]' cannot be part of a test id"),
        # Shell text.
        ("conditions: {c: {run: 'train {{ x }}'}}", "2:23: conditions.c.run: `{{` is not expanded: a matrix has no template language; use shell variables"),
        ("conditions: {c: {run: 'train ${{ x }}'}}", "2:23: conditions.c.run: `${{` is not expanded: a matrix has no template language"),
        ("defaults: {args: --nodes $N}", "2:18: defaults.args: `$N` in args is not expanded: write it in run, where the shell expands it"),
        ("defaults: {args: [--nodes, '${N}']}", "2:28: defaults.args: `${` in args is not expanded"),
        ("defaults: {env: {A: $HOME/x}}", "2:21: defaults.env.A: `$HOME` in an env value is not expanded"),
        ("defaults: {args: \"it's\"}", "2:18: defaults.args: cannot be split into arguments: No closing quotation"),
        ("defaults: {args: [{a: 1}]}", "2:19: defaults.args: an argument must be one value, not a mapping"),
        ("conditions: {c: {run: a | b, args: --x}}", "2:23: args are not used: run is more than one simple command, so it must contain \"$@\" (cell r-1n-c)"),
        ("conditions: {c: {run: exit 3, args: --x}}", "2:23: args are not used: "),
        # Environment.
        ("defaults: {env: {A-B: 1}}", "2:18: defaults.env.A-B: 'A-B' is not a valid name of an environment variable"),
        ("defaults: {env: {CLUSTERJOBS_CELL: 1}}", "2:18: defaults.env.CLUSTERJOBS_CELL: names that begin with CLUSTERJOBS_ are reserved"),
        ("defaults: {env: {A: [1]}}", "2:21: defaults.env.A: expected one value, not a list"),
        ("defaults: {env: {T: 1}, secrets: [T]}", "2:35: T is in env and in secrets: remove it from one of them (cell r-1n-normal_completion)"),
        ("defaults: {secrets: [a=b]}", "2:22: defaults.secrets.0: 'a=b' is not a valid name of an environment variable"),
        # Marks and fixtures.
        ("defaults: {marks: [{skip: true}]}", "2:27: defaults.marks.0: `skip` takes the reason as text, or a mapping"),
        ("defaults: {marks: [a b]}", "2:20: defaults.marks.0: 'a b' is not a valid name of a mark"),
        ("defaults: {marks: [{a: 1, b: 2}]}", "2:20: defaults.marks.0: a mark is a name, or one name with its arguments"),
        ("defaults: {marks: [{parametrize: [a]}]}", "2:21: defaults.marks.0: `parametrize` has no effect here: use axes"),
        ("defaults: {marks: usefixtures}", "2:19: defaults.marks: `usefixtures` has no effect here: use fixtures"),
        ("defaults: {fixtures: [my-db]}", "2:23: defaults.fixtures.0: 'my-db' is not a valid name of a fixture"),
    ],
)  # fmt: skip
def test_one_mistake_gives_one_message(mistakes: Mistakes, text: str, message: str) -> None:
    found = mistakes(f"recipes: {{r: x}}\n{text}")
    assert len(found) == 1, found
    assert found[0].startswith(message)


def test_a_mistake_that_many_cells_share_is_reported_once(mistakes: Mistakes) -> None:
    text = "recipes: {a: x; y, b: z}\nnodes: [1, 2, 4]\nconditions: {c: {args: --x}}"
    (found,) = mistakes(text)
    assert found.endswith("(cells a-1n-c and 2 more)")


def test_top_level_x_keys_are_free(load: Load) -> None:
    assert load("x-anything: {[1, 2]: 3}\nx-: !!str 4\nrecipes: {a: x}".replace("[1, 2]", "b")).cells


def test_hostile_text_is_escaped_and_long_lines_are_cut_around_the_column(tmp_path: Path, site: Site) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        "recipes: {" + "a" * 300 + ": {'\\x1b[31m\u202e': \"\u202e\"}, b: " + "c" * 300 + "}",
        encoding="utf-8",
    )
    with pytest.raises(MatrixErrors) as caught:
        load_matrix(path, rootdir=tmp_path, site=site)
    shown = str(caught.value)
    assert shown.isascii()
    assert all(len(line) < 250 for line in shown.splitlines() if not line.startswith("m.yaml"))
    for problem in caught.value.problems:
        _, source, caret = str(problem).splitlines()
        assert "\\u202e" not in problem.source_line
        assert len(caret) <= len(source) + 1


def test_the_caret_is_under_its_column_in_a_long_line(tmp_path: Path, site: Site) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        f"recipes: {{a: {{description: {'x' * 400}, run: x, shell: fish, env: {{B: {'y' * 400}}}}}}}"
    )
    with pytest.raises(MatrixErrors) as caught:
        load_matrix(path, rootdir=tmp_path, site=site)
    _, source, caret = str(caught.value).splitlines()
    assert source[caret.index("^") :].startswith("fish")
    assert source.strip().startswith("...") and source.endswith("...")


def test_mistakes_beyond_the_shown_ones_are_counted(mistakes: Mistakes, load: Load) -> None:
    text = "recipes: {a: x}\nnodes: [" + ", ".join(f"n{n}" for n in range(70)) + "]"
    assert len(mistakes(text)) == 70
    with pytest.raises(MatrixErrors) as caught:
        load(text)
    assert str(caught.value).endswith("\n... and 20 more")


def test_a_matrix_outside_of_rootdir_is_named_in_full(tmp_path: Path, site: Site) -> None:
    path = tmp_path / "m.yaml"
    path.write_text("nodes: [1]")
    with pytest.raises(MatrixErrors) as caught:
        load_matrix(path, rootdir=tmp_path / "elsewhere", site=site)
    assert caught.value.problems[0].path == str(path)


def test_a_pipe_under_sh_is_a_warning(load: Load) -> None:
    matrix = load("recipes: {a: {run: 'x | y', shell: sh}}")
    assert matrix.warnings == (
        "matrices/m.yaml:1:20: with `shell: sh` a pipe hides failures of all commands but its last (cell a-1n-normal_completion)",
    )
    assert load("recipes: {a: 'x | y'}").warnings == ()
