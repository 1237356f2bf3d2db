"""All pages: links, lines and words. The examples that no other test covers: Python runs, YAML loads."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.matrix import load_matrix

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
MATRICES = sorted((ROOT / "matrices").rglob("*.yaml"))
EXAMPLES = [*MATRICES, *sorted((ROOT / "matrices").rglob("*.py")), ROOT / "conftest.py"]


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)


def prose(page: Path) -> list[str]:
    """The lines of a page; a line of a code block is empty here."""
    text = re.sub(
        r"^```.*?^```$",
        lambda block: "\n" * block[0].count("\n"),
        page.read_text(),
        flags=re.MULTILINE | re.DOTALL,
    )
    return text.splitlines()


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    found = set()
    for line in prose(page):
        if heading := re.match(r"#+ (.*)", line):
            plain = re.sub(r"\]\([^)]*\)", "", heading[1]).lower()
            found.add(re.sub(r"[^\w\- ]", "", plain).replace(" ", "-"))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_anchors_exist(page: Path) -> None:
    for target, anchor in re.findall(r"\]\(([^)#]*)(?:#([^)]*))?\)", "\n".join(prose(page))):
        if not target.startswith("http"):
            linked = page.parent / target if target else page
            assert linked.exists(), target
            assert not anchor or anchor in anchors(linked), f"{target}#{anchor}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_lines_of_prose_and_tables_are_at_most_110_characters_long(page: Path) -> None:
    assert [line for line in prose(page) if len(line) > 110] == []


@pytest.mark.parametrize("page", [*PAGES, *EXAMPLES], ids=lambda page: page.name)
def test_pages_name_processes_and_not_persons(page: Path) -> None:
    assert re.findall(r"\b(?:nobody|somebody|whoever|whom)\b", page.read_text(), re.IGNORECASE) == []


def test_architecture_names_files_that_exist() -> None:
    package = ROOT / "pytest_clusterjobs"
    folders = [package, ROOT, *(path for path in (package / "backends").iterdir() if path.is_dir())]
    for row in re.findall(r"^\|.*\|$", (ROOT / "docs" / "architecture.md").read_text(), re.MULTILINE):
        for name in re.findall(r"`([\w/]+(?:\.\w+|/))`", row):
            assert any((folder / name).exists() for folder in folders), name


@pytest.mark.parametrize("name", ["running.md", "reports.md", "hooks.md"])
def test_python_examples_run(name: str) -> None:
    for text in blocks(ROOT / "docs" / name, "python"):
        exec(compile(text, name, "exec"), {})


def test_the_examples_of_hooks_run(pytester: pytest.Pytester) -> None:
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


@pytest.mark.parametrize("page", [*PAGES, *MATRICES], ids=lambda page: page.name)
def test_metrics_in_examples_use_the_number_placeholder(page: Path) -> None:
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


def test_the_table_of_a_jobs_environment_is_complete(pytester: pytest.Pytester) -> None:
    page = (ROOT / "docs" / "matrix.md").read_text()
    rows = re.findall(r"^\| (`CLUSTERJOBS_\w+`.*?) \|", page, re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"`(\w+)`", row)}
    (pytester.mkdir("recipes") / "a.sh").write_text("true\n")
    pytester.mkdir("matrices").joinpath("m.yaml").write_text(
        "recipe_files: ../recipes/*.sh\nnodes: [1]\nconditions: {c: {run: 'env > found'}}\n"
    )
    pytester.runpytest("matrices").assert_outcomes(passed=1)
    assert (
        set(re.findall(r"^(CLUSTERJOBS_\w+)=", (pytester.path / "found").read_text(), re.MULTILINE))
        == documented
    )
