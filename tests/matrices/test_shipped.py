"""The shipped matrices have the cells that their comments list. ``./dev matrices`` runs them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.matrix import load_matrix
from pytest_clusterjobs.model import Cell

ROOT = Path(__file__).parents[2]

SHIPPED = ["exit_conditions.yaml", "recipes.yaml", "examples/existing_wrapper.yaml"]

ENDS = {
    "normal_completion": "job_completed",
    "heartbeat_timeout": "heartbeat_timeout",
    "runtime_timeout": "max_runtime_reached",
    "cmd_fails": "job_failed",
    "killed_by_signal": "killed_by_signal",
    "restart_recovers": "job_completed",
}


def cells(name: str) -> dict[str, Cell]:
    matrix = load_matrix(ROOT / "matrices" / name, rootdir=ROOT, site=Site())
    return {cell.id: cell for cell in matrix.cells}


@pytest.mark.parametrize("recipe", ["arena", "nav"])
@pytest.mark.parametrize("nodes", [1, 2, 4])
@pytest.mark.parametrize(("condition", "reason"), ENDS.items())
def test_every_recipe_has_every_end_on_any_number_of_nodes(
    recipe: str, nodes: int, condition: str, reason: str
) -> None:
    cell = cells("exit_conditions.yaml")[f"{recipe}-{nodes}n-{condition}"]
    assert cell.expect.reasons == (reason,)
    assert cell.spec.nodes == nodes
    assert cell.expect.restarts is not None


def test_the_failure_of_one_rank_is_tested_on_several_nodes_only() -> None:
    found = {name for name in cells("exit_conditions.yaml") if name.endswith("rank_fails")}
    assert found == {f"{recipe}-{nodes}n-rank_fails" for recipe in ("arena", "nav") for nodes in (2, 4)}


def test_every_recipe_has_one_short_job_on_one_node() -> None:
    recipes = {cell.spec.recipe for cell in cells("exit_conditions.yaml").values()}
    assert {cell.spec.recipe for cell in cells("recipes.yaml").values()} == recipes
    assert list(cells("recipes.yaml")) == ["arena-1n-short-fp32", "arena-1n-short-bf16", "nav-1n-short-fp32"]


def test_the_wrapper_example_expects_every_end() -> None:
    ends = {id: cell.expect.reasons for id, cell in cells("examples/existing_wrapper.yaml").items()}
    assert ends == {
        **{
            f"wrapped-{nodes}n-{condition}": (reason,)
            for nodes in (1, 2)
            for condition, reason in ENDS.items()
            if condition != "killed_by_signal"
        },
        "wrapped-2n-worker_fails": ("job_failed",),
    }


def test_cell_names_of_the_shipped_matrices_are_unique() -> None:
    """Their checkpoints are named after run and cell, and may be in one folder."""
    ids = [id for name in SHIPPED for id in cells(name)]
    assert len(ids) == len(set(ids)) == 54


def test_every_shipped_matrix_is_tested_here() -> None:
    found = {str(path.relative_to(ROOT / "matrices")) for path in (ROOT / "matrices").glob("**/*.yaml")}
    assert found == set(SHIPPED)


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_matrices_need_no_settings(name: str) -> None:
    """The settings for a cluster come from ``--cluster-backend`` and its site settings."""
    for cell in cells(name).values():
        assert cell.spec.options == {}
        assert (cell.backend, cell.skip, cell.spec.image, cell.spec.workdir) == ("local", None, None, None)
        assert str(ROOT) not in cell.spec.run
