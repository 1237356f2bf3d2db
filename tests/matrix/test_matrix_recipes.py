"""Recipes in every form."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_clusterjobs.matrix import Matrix
from pytest_clusterjobs.matrix import MatrixErrors

Load = Callable[..., Matrix]
Mistakes = Callable[..., list[str]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of the matrix."""
    folder = tmp_path / "matrices"
    folder.mkdir()
    return folder


def write(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def runs(matrix: Matrix) -> dict[str, str]:
    return {cell.spec.recipe: cell.spec.run for cell in matrix.cells}


def test_a_recipe_has_a_short_and_a_long_form(load: Load) -> None:
    assert runs(load("recipes: {a: x, b: {run: y}}")) == {"a": "x", "b": "y"}


def test_a_list_of_names_uses_run_of_the_defaults(load: Load) -> None:
    text = "recipes: [a, b]\ndefaults: {run: train $CLUSTERJOBS_RECIPE}"
    assert runs(load(text)) == {"a": "train $CLUSTERJOBS_RECIPE", "b": "train $CLUSTERJOBS_RECIPE"}


def test_every_file_of_recipe_files_is_a_recipe_named_by_its_path(load: Load, folder: Path) -> None:
    for name in ("configs/nav/small.yaml", "configs/nav/big.yaml", "configs/arena.yaml", "configs/notes.txt"):
        write(folder / name, "learning_rate: 3")
    matrix = load("recipe_files: configs/**/*.yaml\ndefaults: {run: train --config $CLUSTERJOBS_RECIPE_FILE}")
    assert [cell.id for cell in matrix.cells] == [
        "configs.arena-1n-normal_completion",
        "configs.nav.big-1n-normal_completion",
        "configs.nav.small-1n-normal_completion",
    ]
    assert matrix.cells[2].spec.env == {"CLUSTERJOBS_RECIPE_FILE": "matrices/configs/nav/small.yaml"}


def test_recipe_files_may_be_next_to_the_matrix_and_match_several_globs(
    load: Load, folder: Path, tmp_path: Path
) -> None:
    write(tmp_path / "configs" / "a.toml")
    write(folder / "b.json")
    write(folder / "d.yaml")
    matrix = load("recipe_files: [../configs/*.toml, '*.json', '*.yaml']\ndefaults: {run: x}\nrecipes: [c]")
    assert [cell.spec.recipe for cell in matrix.cells] == ["c", "configs.a", "b", "d"]


def test_recipes_from_reads_a_generated_file(load: Load, folder: Path) -> None:
    write(folder / "generated.json", '{\n\t"a": "x",\n\t"b": {"run": "y", "env": {"N": 1}}\n}')
    write(folder / "more.yaml", "[c, d]")
    matrix = load("recipes_from: [generated.json, more.yaml]\ndefaults: {run: z}")
    assert runs(matrix) == {"a": "x", "b": "y", "c": "z", "d": "z"}
    assert matrix.cells[1].spec.env == {"N": "1"}


def test_a_mistake_in_a_generated_file_is_shown_there(load: Load, folder: Path) -> None:
    write(folder / "generated.json", '{\n\t"a": {"run": "x", "max_runtime": 5},\n\t"b": {"comand": "y"}\n}')
    with pytest.raises(MatrixErrors) as caught:
        load("recipes_from: generated.json\nnodes: [0]")
    both = [str(each).splitlines()[0] for each in caught.value.problems]
    assert both[0] == "matrices/m.yaml:2:9: nodes.0: expected a whole number from 1 to 100000, not 0"
    assert [each.partition(": ")[0] for each in both[1:]] == [
        "matrices/generated.json:2:35",
        "matrices/generated.json:3:8",
    ]
    with pytest.raises(MatrixErrors) as caught:
        load("recipes_from: generated.json")
    assert str(caught.value).splitlines() == [
        "matrices/generated.json:2:35: recipes.a.max_runtime: a duration needs a unit: 5s, 5m or 5h",
        '   "a": {"run": "x", "max_runtime": 5},',
        "                                    ^",
        "matrices/generated.json:3:8: unknown key 'comand': the command is `run`",
        '   "b": {"comand": "y"}',
        "         ^",
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipes: {}", "1:10: recipes: at least one entry is required"),
        ("recipes: []", "1:10: recipes: at least one entry is required"),
        ("recipes:", "1:1: no recipes: name at least one under `recipes:`"),
        ("nodes: [1]", "1:1: no recipes: name at least one under `recipes:`"),
        ("recipes: a", "1:10: recipes: a recipe needs a name: write `NAME: a` below recipes"),
        ("recipes: [a, a]\ndefaults: {run: x}", "1:14: recipes: 'a' is in the list twice"),
        ("recipes: {a: x}\nrecipe_files: a.*", "2:15: duplicate recipe 'a' (first at matrices/m.yaml:1:11)"),
        ("recipes: {a: {env: {A: 1}}}", "1:11: run is missing: neither the recipe nor another layer has it (cell a-1n-normal_completion)"),
        ("recipes: {a: }", "1:11: run is missing: neither the recipe nor another layer has it (cell a-1n-normal_completion)"),
        ("recipes: {a/b: x}", "1:11: recipes.a/b: 'a/b' cannot be part of a test id; use letters, digits and . _ + - (at most 100)"),
        ("recipe_files: nope/*.yaml", "1:15: recipe_files: no file matches 'nope/*.yaml' in matrices/"),
        ("recipe_files: 'with space.*'\ndefaults: {run: x}", "1:15: recipe_files: 'with space.toml' cannot be part of a test id"),
        ("recipes_from: nope.json", "1:15: recipes_from: no such file: 'nope.json'"),
        ("recipes_from: /etc/hostname", "1:15: '/etc/hostname' is outside rootdir"),
        ("recipe_files: /etc/host*", "1:15: '/etc/host*' is outside rootdir"),
    ],
)  # fmt: skip
def test_invalid_recipes_are_a_mistake(mistakes: Mistakes, folder: Path, text: str, message: str) -> None:
    write(folder / "a.toml")
    write(folder / "with space.toml")
    found = mistakes(text)
    assert len(found) == 1
    assert found[0].startswith(message)


def test_folders_that_contain_themselves_are_walked_once(load: Load, folder: Path) -> None:
    write(folder / "configs" / "a.yaml")
    write(folder / "configs" / "deep" / "b.yaml")
    for name in ("self", "again", "more", "still"):
        (folder / "configs" / name).symlink_to(".")
        (folder / "configs" / "deep" / name).symlink_to("..")
    matrix = load("recipe_files: configs/**/*.yaml\ndefaults: {run: x}")
    assert [cell.spec.recipe for cell in matrix.cells] == ["configs.a", "configs.deep.b"]


def test_a_linked_folder_is_a_folder(load: Load, folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "shared" / "a.yaml")
    (folder / "configs").mkdir()
    (folder / "configs" / "shared").symlink_to(tmp_path / "shared")
    (folder / "configs" / "gone").symlink_to(tmp_path / "gone")
    matrix = load("recipe_files: configs/**/*.yaml\ndefaults: {run: x}")
    assert [cell.spec.recipe for cell in matrix.cells] == ["configs.shared.a"]


def test_recipe_files_do_not_walk_the_machine(
    mistakes: Mistakes, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for pattern in ("/proc/**/*.yaml", "../../../../../../**/*.yaml", "/**"):
        assert mistakes(f"recipe_files: '{pattern}'\ndefaults: {{run: x}}") == [
            f"1:15: '{pattern}' is outside rootdir"
        ]
    (folder / "machine").symlink_to("/proc")
    monkeypatch.setattr("pytest_clusterjobs.matrix.globs.MAX_ENTRIES", 1000)
    (found,) = mistakes("recipe_files: '**/*.yaml'\ndefaults: {run: x}")
    assert found.startswith(
        "1:15: recipe_files: '**/*.yaml' covers more than 100,000 names: name the folders"
    )
