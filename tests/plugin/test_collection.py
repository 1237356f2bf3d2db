"""A matrix that lies where a user would put it runs, or there is a message about it, however pytest is started."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ONE = '{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}\n'
CELL = "::a-1n-c"


class Session:
    """What one pytest process said."""

    def __init__(self, folder: Path, *arguments: object, pwd: Path | None = None) -> None:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *map(str, arguments)],
            cwd=folder,
            env={**os.environ, "PWD": str(pwd or folder)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        self.code = done.returncode
        self.text = done.stdout
        self.flat = " ".join(done.stdout.split())
        self.cells = sorted(line for line in done.stdout.splitlines() if line.endswith(CELL))


def collected(folder: Path, *arguments: object) -> Session:
    """What pytest collects when it is started in a folder."""
    return Session(folder, "--collect-only", "-q", *arguments)


def write(path: Path, text: str = ONE) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


@pytest.fixture
def base(pytester: pytest.Pytester) -> Path:
    """A folder without a configuration of pytest in or above it."""
    return pytester.path


@pytest.fixture
def root(base: Path) -> Path:
    """A project with an ini file, a matrix and a Python test."""
    return project(base / "proj")


def project(folder: Path, *ini: str) -> Path:
    write(folder / "pytest.ini", "\n".join(["[pytest]", *ini]))
    write(folder / "matrices" / "m.yaml")
    write(folder / f"test_{folder.name}.py", "def test_it(): pass\n")
    return folder


# Ways to start pytest


@pytest.mark.parametrize("option", ["--rootdir={link}", "-c{link}/pytest.ini"])
@pytest.mark.parametrize("argument", [[], ["matrices"], ["matrices/m.yaml"], ["matrices/m.yaml::a-1n-c"]])
def test_a_rootdir_that_is_reached_by_a_link(
    base: Path, root: Path, option: str, argument: list[str]
) -> None:
    link = base / "link"
    link.symlink_to(root)
    found = collected(root, option.format(link=link), *argument)
    assert (found.cells, found.code) == ([f"matrices/m.yaml{CELL}"], 0), found.text


def test_a_run_by_a_link_is_checked_by_the_link(base: Path, root: Path) -> None:
    link = base / "link"
    link.symlink_to(root)
    write(root / "other.yaml")
    for number, named in enumerate([[], ["other.yaml"]]):
        launched = Session(root, f"--rootdir={link}", "--cluster-launch", *named)
        assert launched.code == 0, launched.text
        checked = Session(root, f"--rootdir={link}", "--cluster-check", "--cluster-check-wait", "-v")
        assert f"run{number and ''}" in checked.text
        assert "1 passed" in checked.text, checked.text
        assert checked.code == 0


def test_a_file_that_two_arguments_lead_to_is_collected_once(base: Path, root: Path) -> None:
    link = base / "link"
    link.symlink_to(root)
    found = collected(base, f"--rootdir={root}", "proj/matrices", "link/matrices")
    assert found.cells == [f"matrices/m.yaml{CELL}"], found.text


def test_a_mistake_is_told_by_the_path_from_rootdir(base: Path, root: Path) -> None:
    (base / "link").symlink_to(root)
    write(root / "matrices" / "m.yaml", "recipes: {a: b}\nnodez: [1]\n")
    assert "\nmatrices/m.yaml:2:1: unknown key" in collected(root, f"--rootdir={base}/link").text


def test_from_a_folder_below(root: Path) -> None:
    (root / "tests").mkdir()
    assert collected(root / "matrices").cells == [f"matrices/m.yaml{CELL}"]
    assert collected(root / "tests", "..").cells == [f"matrices/m.yaml{CELL}"]


@pytest.mark.parametrize("arguments", [["proj"], ["proj/matrices"], ["proj/matrices/m.yaml"]])
@pytest.mark.parametrize("with_ini", [True, False])
def test_from_a_parent_folder(base: Path, root: Path, arguments: list[str], with_ini: bool) -> None:
    if not with_ini:
        (root / "pytest.ini").unlink()
    found = collected(base, *arguments)
    assert found.cells == [f"{'' if with_ini else 'proj/'}matrices/m.yaml{CELL}"], found.text
    assert found.code == 0


def test_from_a_parent_folder_without_naming_the_project(base: Path, root: Path) -> None:
    found = collected(base)
    assert not found.cells
    assert f"{root}/matrices/m.yaml:1: UncollectedWarning: this looks like a matrix, and its" in found.flat


def test_from_inside_the_folder_of_a_project_without_settings(root: Path) -> None:
    (root / "pytest.ini").unlink()
    assert collected(root / "matrices").cells == [f"m.yaml{CELL}"]


def test_projects_without_settings_on_one_command_line(base: Path) -> None:
    for name in "ab":
        (project(base / name) / "pytest.ini").unlink()
    assert collected(base, "a", "b").cells == [f"a/matrices/m.yaml{CELL}", f"b/matrices/m.yaml{CELL}"]


@pytest.mark.parametrize("what", ["", "/matrices", "/matrices/m.yaml"])
@pytest.mark.parametrize("workers", [[], ["-n1"]])
def test_projects_with_settings_on_one_command_line(base: Path, what: str, workers: list[str]) -> None:
    a, b = project(base / "a"), project(base / "b")
    found = collected(base, *workers, f"a{what}", f"b{what}")
    assert found.code == 2 or (workers and found.code != 0), found.text
    message = f"../b/matrices/m.yaml: belongs to another project ({b}/pytest.ini) than this session, whose rootdir is {a}:"
    assert message in found.flat
    pasted = re.search(r"itself: pytest (\S+) (\S+)", found.flat)
    assert pasted is not None
    assert collected(base, *pasted.groups()).cells == [f"matrices/m.yaml{CELL}"]


def test_a_project_within_a_project_is_one_of_its_own(base: Path) -> None:
    outer = project(base / "outer")
    project(outer / "inner")
    found = collected(outer, ".", "--rootdir=.", "inner", "--keep-duplicates")
    assert "inner/matrices/m.yaml: belongs to another project" in found.flat
    # Where the outer one's own patterns name it, it is the outer one's.
    write(outer / "pytest.ini", "[pytest]\ncluster_matrices = **/matrices/*.yaml\n")
    assert collected(outer).cells == [f"inner/matrices/m.yaml{CELL}", f"matrices/m.yaml{CELL}"]


def test_rootdir_above_the_projects_own_settings(base: Path, root: Path) -> None:
    found = collected(base, "--rootdir=.", "proj")
    assert (found.cells, found.code) == ([f"proj/matrices/m.yaml{CELL}"], 0), found.text


def test_settings_elsewhere(base: Path, root: Path) -> None:
    write(base / "ci" / "pytest.ini", "[pytest]\n")
    found = collected(root, "-c", "../ci/pytest.ini")
    assert found.code == 2
    assert f"belongs to another project ({root}/pytest.ini)" in found.flat
    assert f"--rootdir={root} " in found.flat
    assert collected(root, "-c", "../ci/pytest.ini", "--rootdir=.").cells == [f"matrices/m.yaml{CELL}"]
    (root / "pytest.ini").unlink()
    assert collected(root, "-c", "../ci/pytest.ini").cells == [f"../proj/matrices/m.yaml{CELL}"]


# Patterns


@pytest.mark.parametrize(
    "pattern",
    [
        "./matrices/*.yaml",
        "matrices/../matrices/m.yaml",
        "matrices/**",
        "**/*.yaml",
        "matrices/[a-m].yaml",
        "matrices/[!a].yaml",
        "matrices/?.yaml",
        "matri*/*.yaml",
        "{base}/proj/matrices/*.yaml",
        "{base}/link/matrices/*.yaml",
        "../proj/matrices/*.yaml",
        "../*/matrices/*.yaml",
        "matrices//m.yaml",
    ],
)
def test_patterns_are_pytests_globs(base: Path, root: Path, pattern: str) -> None:
    (base / "link").symlink_to(root)
    project(root, f"cluster_matrices = {pattern.format(base=base)}")
    found = collected(root)
    assert (found.cells, found.code) == ([f"matrices/m.yaml{CELL}"], 0), found.text


@pytest.mark.parametrize(
    ("pattern", "fix"),
    [
        ("matrices/", "it names a folder: write matrices/**/*.yaml"),
        ("matrices", "it names a folder: write matrices/**/*.yaml"),
        ("./matrices/.", "it names a folder: write"),
        ("matrices/*.{yaml,yml}", "write a pattern for each, matrices/*.yaml, matrices/*.yml"),
        ("{matrices,nightly}/*.yaml", "write a pattern for each, matrices/*.yaml, nightly/*.yaml"),
        ("matrices/**.yaml", "`**` stands for whole folders: write matrices/**/*.yaml"),
        ("matrices/m**.yaml", "`**` stands for whole folders: write matrices/m*.yaml"),
        ("~/matrices/*.yaml", "`~` is not expanded: write /"),
        ("matrices/*.json", "a matrix is a .yaml or .yml file: write matrices/*.yaml"),
    ],
)
def test_other_patterns_are_refused_with_the_fix(root: Path, pattern: str, fix: str) -> None:
    project(root, f"cluster_matrices = {pattern}")
    found = collected(root, "test_proj.py")
    assert found.code == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: pytest.ini: cluster_matrices: '{pattern}' can match no matrix: " in found.text
    assert fix in found.text


@pytest.mark.parametrize("workers", [[], ["-n1"]])
@pytest.mark.parametrize(
    "pattern",
    ["nightly/*.yaml", "matrices/[x].yaml", '"matrices/*.yaml"', "/none/*.yaml", "matrices/*.yaml, a/*.yaml"],
)
def test_a_pattern_that_matches_nothing_is_an_error(root: Path, pattern: str, workers: list[str]) -> None:
    project(root, f"cluster_matrices = {pattern}")
    found = Session(root, *workers)
    assert found.code != 0
    assert f"pytest.ini: cluster_matrices: '{pattern}' matches no matrix" in found.text, found.text
    # A session that does not look there cannot say so.
    assert collected(root, "test_proj.py").code == 0
