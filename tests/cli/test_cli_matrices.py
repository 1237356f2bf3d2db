"""validate, schema and plan: matrices, with nothing submitted."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from pytest_clusterjobs.matrix import schema_json

if TYPE_CHECKING:
    from tests.cli.conftest import Place

GOOD = """
recipes:
  a: {run: echo hi, args: [one two], env: {COLOUR: mauve}, secrets: [API_KEY], resources: {gpus: 4}}
nodes: [1, 2]
conditions:
  c: {max_runtime: 30m, max_restarts: 1}
  later: {marks: [{skip: not today}]}
"""


def test_validate_counts_cells(place: Place) -> None:
    path = place.matrix(GOOD)
    for argument in (str(path), "matrices/m.yaml", "matrices", "."):
        done = place.command("validate", argument)
        assert (done.returncode, done.stdout) == (0, "4 cells in 1 matrix\n"), done.stderr


def test_validate_prints_all_errors_of_all_files(place: Place) -> None:
    place.matrix("{recipes: {a: x}, node: [1], conditions: {c: {max_runtim: 3s}}}", "matrices/one.yaml")
    place.matrix("{recipes: {a: x}, nodes: [0], conditions: {c: {}}}", "matrices/two.yaml")
    place.matrix(GOOD)
    done = place.command("validate", "matrices")
    assert done.returncode == 1
    for where in ("matrices/one.yaml:1:19: ", "matrices/one.yaml:1:47: ", "matrices/two.yaml:1:"):
        assert where in done.stdout
    assert "3 errors in 2 of 3 matrices" in done.stderr
    problems = place.read("validate", "matrices")["problems"]
    assert [(each["path"], each["line"]) for each in problems][0:2] == [("matrices/one.yaml", 1)] * 2


def test_validate_finds_the_matrices_that_pytest_finds(place: Place) -> None:
    (place.path / "pytest.ini").write_text("[pytest]\ncluster_matrices = nightly/*.yaml\n")
    place.matrix(GOOD, "nightly/m.yaml")
    place.matrix("no: matrix", "configs/other.yaml")
    assert place.read("validate", ".")["cells"] == 4
    assert place.command("validate", "configs").returncode == 4


def test_the_schema_is_the_one_that_is_shipped(place: Place) -> None:
    assert place.command("schema").stdout == schema_json()


def test_plan_is_what_pytest_would_select_and_submits_nothing(place: Place) -> None:
    place.matrix(GOOD)
    done = place.command("plan", "matrices", "-k", "2n", API_KEY="hunter2")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line for line in lines if "::" in line] == ["matrices/m.yaml::a-2n-c"]
    shown = {line[:19].strip(): line[19:].strip() for line in lines if line.startswith("  ")}
    assert shown["backend"] == "local, 2 nodes"
    assert shown["bash -eo pipefail"] == 'echo hi "$@"'
    assert shown["args"] == "'one two'"
    assert shown["environment"] == "COLOUR, API_KEY (secret)"
    assert shown["resources"] == "gpus 4 a node"
    assert shown["limits"] == "max_runtime 30m00s, queue_timeout 12h00m, grace_period 10.0s"
    assert "mauve" not in done.stdout
    assert "at most 2.00 node-hours" in done.stdout
    assert not (place.path / ".clusterjobs").exists()


def test_plan_as_json_has_the_command_line(place: Place) -> None:
    place.matrix(GOOD)
    found = place.read("plan", "matrices/m.yaml::a-1n-c")
    (cell,) = found["cells"]
    assert cell["argv"][:2] == ["sh", "-c"]
    assert cell["argv"][-2:] == ['echo hi "$@"', "one two"]
    assert found["totals"] == {
        "jobs": 1,
        "nodes": 1,
        "widest": 1,
        "node_hours": 1.0,
        "backends": {"local": 1},
    }


def test_plan_of_a_matrix_with_errors_fails(place: Place) -> None:
    place.matrix("{recipes: {a: x}, node: [1], conditions: {c: {}}}")
    done = place.command("plan")
    assert done.returncode == 1
    assert "matrices/m.yaml:1:19: " in done.stdout


def test_plan_without_cells_is_an_error(place: Place) -> None:
    place.matrix(GOOD)
    assert place.command("plan", "-k", "nothing").returncode == 4
    missing = place.command("plan", "no-such-folder")
    assert missing.returncode == 3
    (line,) = missing.stderr.splitlines()
    assert line.startswith("clusterjobs: pytest cannot collect: file or directory not found: ")


def test_plan_reads_the_marks_of_the_project(place: Place) -> None:
    place.matrix(GOOD)
    (place.path / "conftest.py").write_text(
        "import pytest\n"
        "def pytest_collection_modifyitems(items):\n"
        "    for item in items:\n"
        "        if '-1n-' in item.nodeid: item.add_marker(pytest.mark.skip)\n"
    )
    keys = [cell["key"] for cell in json.loads(place.command("plan", "--json").stdout)["cells"]]
    assert keys == ["matrices/m.yaml::a-2n-c"]


def test_plan_shows_options_as_a_matrix_has_them(place: Place) -> None:
    place.matrix(
        'recipes: {a: {run: x, options: {slurm: {partition: big, extra: [--a, "b: c"], exclusive: true}}}}'
    )
    done = place.command("plan", "matrices", "--backend", "slurm")
    lines = [line.strip() for line in done.stdout.splitlines()]
    at = next(at for at, line in enumerate(lines) if line.startswith("options"))
    assert [lines[at].split(maxsplit=1)[1], *lines[at + 1 : at + 3]] == [
        "partition: big",
        "extra: [--a, 'b: c']",
        "exclusive: true",
    ]
