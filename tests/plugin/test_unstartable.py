"""Specs that cannot be started are refused at once, wherever they come from, and leave nothing behind."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.plugin.test_leaks import of_project
from tests.plugin.test_leaks import until

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

HOOK = """
from dataclasses import replace

def pytest_clusterjobs_before_submit(cell, attempt):
    spec, which = cell.spec, cell.axes["recipe"]
    if which == "nodes":
        return replace(spec, nodes=0)
    if which == "nul":
        return replace(spec, run="a\\0")
    if which == "name":
        return replace(spec, env={"A=B": "x"})
    if which == "type":
        return replace(spec, run=3)
    if which == "limit":
        return replace(spec, max_runtime=float("inf"))
    if which == "behind":
        spec.env["A=B"] = "x"
    if which == "forced":
        object.__setattr__(spec, "nodes", -1)
        return spec
    if which == "said":
        assert cell.spec.nodes > 1, "too narrow"
"""
SAID = {
    "nodes": "*_before_submit raised BadSpec: job spec: nodes: at least 1, not 0*",
    "nul": "*_before_submit raised BadSpec: job spec: run: a process cannot be given a NUL character*",
    "name": "*_before_submit raised BadSpec: job spec: env: 'A=B' is not a valid name of an environment variable*",
    "type": "*_before_submit raised WrongType: job spec: run: expected a text, not 3*",
    "limit": "*_before_submit raised BadSpec: job spec: max_runtime: more than 0 and at most * seconds, not inf*",
    "behind": "*_before_submit raised BadSpec: job spec: env: 'A=B' is not a valid name*",
    "forced": "*_before_submit raised BadSpec: job spec: nodes: at least 1, not -1*",
    "said": "*refused: too narrow",
}


@pytest.mark.parametrize("arguments", [[], ["-n2"]])
def test_a_hook_that_makes_a_spec_impossible_is_an_error_that_names_the_hook(
    project: Project, arguments: list[str]
) -> None:
    names = ", ".join(f"{name}: {{run: ':', env: {{A: {name}}}}}" for name in (*SAID, "fine"))
    project.matrix(f"recipes: {{{names}}}\n")
    project.pytester.makeconftest(HOOK)
    result = project.pytester.runpytest("-p", "no:cacheprovider", *arguments)
    result.assert_outcomes(errors=len(SAID), passed=1)
    result.stdout.fnmatch_lines_random(list(SAID.values()))
    result.stdout.no_fnmatch_line("*Traceback*")
    until(lambda: not of_project(project.path), 10)


def test_a_hook_that_puts_no_spec_into_a_cell(project: Project) -> None:
    project.matrix("recipes: {a: ':'}")
    project.pytester.makeconftest(
        """
        from dataclasses import replace
        def pytest_clusterjobs_modify_cells(cells):
            cells[:] = [replace(cell, spec="true") for cell in cells]
        """
    )
    result = project.pytester.runpytest("matrices")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*conftest.py:*", "*TypeError: a cell has a JobSpec, not 'true'"])


@pytest.mark.parametrize(
    ("fragment", "message"),
    [
        ("run: 5", "m.yaml:1:20: recipes.a.run: YAML reads 5 as a number*"),
        ('run: "echo \\0"', "m.yaml:1:20: recipes.a.run: control character \\x00 in text"),
        ('run: ":", args: ["a\\0"]', "m.yaml:1:*: recipes.a.args: control character \\x00 in text"),
        (
            'run: ":", env: {"A=B": x}',
            "m.yaml:1:*: recipes.a.env.A=B: 'A=B' is not a valid name of an environment variable*",
        ),
        ('run: ":", env: {"": x}', "m.yaml:1:*: '' is not a valid name of an environment variable*"),
        ('run: ":", max_runtime: .inf', "m.yaml:1:*: recipes.a.max_runtime: '.inf' is not a valid duration*"),
        ('run: "\\ud800"', "m.yaml:1:*"),
    ],
)
def test_a_matrix_says_where(project: Project, fragment: str, message: str) -> None:
    project.matrix(f"recipes: {{a: {{{fragment}}}}}\n")
    result = project.pytester.runpytest("matrices")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"*{message}"])
    assert not list(project.path.glob(".clusterjobs/runs/*"))


def test_a_matrix_says_where_it_cannot_have_a_recipe_file(project: Project) -> None:
    """What only the spec itself refuses has a place in the file too."""
    folder = project.path / "matrices" / "\udcff"
    folder.mkdir(parents=True)
    (folder / "recipe.cfg").write_text("")
    (folder / "m.yaml").write_text("defaults: {run: ':'}\nrecipe_files: '*.cfg'\n")
    result = project.pytester.runpytest("matrices")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["*m.yaml:2:15: env.CLUSTERJOBS_RECIPE_FILE: '*udcff' is half a character, or a byte that*"]
    )
