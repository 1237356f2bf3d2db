"""The examples of the pages that no other test owns: Python is run, YAML loads, links lead somewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.matrix import load_matrix

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", page.read_text()):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), target


def test_the_map_names_files_that_exist() -> None:
    for cell in re.findall(r"^\|.*\|$", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE):
        for name in re.findall(r"`([\w/]+(?:\.\w+|/))`", cell):
            paths = [
                ROOT / "pytest_clusterjobs" / name,
                ROOT / name,
                ROOT / "pytest_clusterjobs/backends/slurm" / name,
            ]
            assert any(path.exists() for path in paths), name


@pytest.mark.parametrize("name", ["running.md", "reports.md", "hooks.md"])
def test_python_examples_run(name: str) -> None:
    for text in blocks(ROOT / "docs" / name, "python"):
        exec(compile(text, name, "exec"), {})


def test_the_examples_of_hooks_are_hooks(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("\n".join(blocks(ROOT / "docs" / "hooks.md", "python")))
    pytester.mkdir("matrices").joinpath("nightly.yaml").write_text(
        'recipes: {a: "true"}\nnodes: [1]\nconditions: {c: {max_runtime: 2h}}\n'
    )
    pytester.runpytest("matrices").assert_outcomes(passed=1)
    assert (pytester.path / "ends.log").read_text() == "a-1n-c 1 job_completed passed\n"
    (report,) = pytester.path.glob(".clusterjobs/runs/*/report.json")
    (cell,) = json.loads(report.read_text())["cells"]
    assert cell["registration"]["cell"]["spec"]["max_runtime"] == 3600
    assert cell["result"]["fields"]["owner"] == "team-training"


def test_the_examples_of_jobs_from_python_run(pytester: pytest.Pytester) -> None:
    tests, expects, script = blocks(ROOT / "docs" / "python.md", "python")
    pytester.makepyfile(test_a=tests, test_b=expects)
    pytester.runpytest().assert_outcomes(passed=3)
    assert pytester.runpython(pytester.makepyfile(script=script)).outlines[:1] == ["job_completed hello"]


MATRICES = sorted((ROOT / "matrices").rglob("*.yaml"))


@pytest.mark.parametrize("page", [*PAGES, *MATRICES], ids=lambda page: page.name)
def test_metrics_that_people_copy_are_read_by_number(page: Path) -> None:
    for pattern in re.findall(r"pattern: *('[^']*'|\S+)", page.read_text()):
        assert "{number}" in pattern


def test_the_matrix_of_the_readme_loads(tmp_path: Path) -> None:
    (text,) = blocks(ROOT / "README.md", "yaml")
    path = tmp_path / "m.yaml"
    path.write_text(text)
    assert len(load_matrix(path, rootdir=tmp_path, site=Site()).cells) == 15


def test_every_option_is_documented(pytester: pytest.Pytester) -> None:
    text = pytester.runpytest("--help").stdout.str()
    page = (ROOT / "docs" / "running.md").read_text()
    options = set(re.findall(r"--cluster-[a-z-]+", text))
    assert len(options) >= 6
    for option in options:
        assert option in page


def test_the_table_of_a_jobs_environment_is_whole(pytester: pytest.Pytester) -> None:
    page = (ROOT / "docs" / "matrix.md").read_text()
    rows = re.findall(r"^\| (`CLUSTERJOBS_\w+`.*?) \|", page, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    (pytester.mkdir("recipes") / "a.sh").write_text("true\n")
    pytester.mkdir("matrices").joinpath("m.yaml").write_text(
        "recipe_files: ../recipes/*.sh\nnodes: [1]\nconditions: {c: {run: 'env > found'}}\n"
    )
    pytester.runpytest("matrices").assert_outcomes(passed=1)
    assert (
        set(re.findall(r"^(CLUSTERJOBS_\w+)=", (pytester.path / "found").read_text(), re.MULTILINE)) == told
    )
