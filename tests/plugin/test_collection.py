"""A matrix that lies where a user would put it runs, or there is a message about it, however pytest is
started."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Protocol

import pytest

ONE = '{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}\n'
CELL = "::a-1n-c"


class Session:
    """What one pytest session said."""

    def __init__(self, code: int, text: str) -> None:
        self.code = code
        self.text = text
        self.flat = " ".join(text.split())
        self.cells = sorted(line for line in text.splitlines() if line.endswith(CELL))


class Start(Protocol):
    """Starts pytest in a folder."""

    def __call__(self, folder: Path, *arguments: object) -> Session: ...


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Starts pytest in this process."""

    def start(folder: Path, *arguments: object) -> Session:
        with monkeypatch.context() as patch:
            patch.chdir(folder)
            done = pytester.runpytest_inprocess(*map(str, arguments))
        return Session(int(done.ret), done.stdout.str() + done.stderr.str())

    return start


@pytest.fixture
def run_apart() -> Start:
    """Starts pytest in a process of its own, for what depends on one: workers, filters of warnings,
    imports."""

    def start(folder: Path, *arguments: object) -> Session:
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *map(str, arguments)],
            check=False,
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=60,
        )
        return Session(done.returncode, done.stdout)

    return start


@pytest.fixture
def collect(run: Start) -> Start:
    """What pytest collects when it is started in a folder."""
    return lambda folder, *arguments: run(folder, "--collect-only", "-q", *arguments)


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
    base: Path, root: Path, option: str, argument: list[str], collect: Start
) -> None:
    link = base / "link"
    link.symlink_to(root)
    found = collect(root, option.format(link=link), *argument)
    assert (found.cells, found.code) == ([f"matrices/m.yaml{CELL}"], 0), found.text


def test_a_run_by_a_link_is_checked_by_the_link(base: Path, root: Path, run: Start) -> None:
    link = base / "link"
    link.symlink_to(root)
    write(root / "other.yaml")
    for named in (["matrices"], ["other.yaml"]):
        launched = run(root, f"--rootdir={link}", "--cluster-launch", *named)
        assert launched.code == 0, launched.text
        checked = run(root, f"--rootdir={link}", "--cluster-check", "--cluster-check-wait", "-v")
        assert "1 passed" in checked.text, checked.text
        assert checked.code == 0


def test_a_file_that_two_arguments_lead_to_is_collected_once(base: Path, root: Path, collect: Start) -> None:
    link = base / "link"
    link.symlink_to(root)
    found = collect(base, f"--rootdir={root}", "proj/matrices", "link/matrices")
    assert found.cells == [f"matrices/m.yaml{CELL}"], found.text


def test_a_mistake_is_told_by_the_path_from_rootdir(base: Path, root: Path, collect: Start) -> None:
    (base / "link").symlink_to(root)
    write(root / "matrices" / "m.yaml", "recipes: {a: b}\nnodez: [1]\n")
    assert "\nmatrices/m.yaml:2:1: unknown key" in collect(root, f"--rootdir={base}/link").text


def test_from_a_folder_below(root: Path, collect: Start) -> None:
    (root / "tests").mkdir()
    assert collect(root / "matrices").cells == [f"matrices/m.yaml{CELL}"]
    assert collect(root / "tests", "..").cells == [f"matrices/m.yaml{CELL}"]


@pytest.mark.parametrize("arguments", [["proj"], ["proj/matrices"], ["proj/matrices/m.yaml"]])
@pytest.mark.parametrize("with_ini", [True, False])
def test_from_a_parent_folder(
    base: Path, root: Path, arguments: list[str], with_ini: bool, collect: Start
) -> None:
    if not with_ini:
        (root / "pytest.ini").unlink()
    found = collect(base, *arguments)
    assert found.cells == [f"{'' if with_ini else 'proj/'}matrices/m.yaml{CELL}"], found.text
    assert found.code == 0


def test_from_a_parent_folder_without_naming_the_project(base: Path, root: Path, collect: Start) -> None:
    found = collect(base)
    assert not found.cells
    assert f"{root}/matrices/m.yaml:1: UncollectedWarning: this looks like a matrix, and its" in found.flat


def test_from_inside_the_folder_of_a_project_without_settings(root: Path, collect: Start) -> None:
    (root / "pytest.ini").unlink()
    assert collect(root / "matrices").cells == [f"m.yaml{CELL}"]


def test_projects_without_settings_on_one_command_line(base: Path, collect: Start) -> None:
    for name in "ab":
        (project(base / name) / "pytest.ini").unlink()
    assert collect(base, "a", "b").cells == [f"a/matrices/m.yaml{CELL}", f"b/matrices/m.yaml{CELL}"]


@pytest.mark.parametrize("what", ["", "/matrices", "/matrices/m.yaml"])
def test_projects_with_settings_on_one_command_line(base: Path, what: str, collect: Start) -> None:
    a, b = project(base / "a"), project(base / "b")
    found = collect(base, f"a{what}", f"b{what}")
    assert found.code == pytest.ExitCode.INTERRUPTED, found.text
    message = f"../b/matrices/m.yaml: belongs to another project ({b}/pytest.ini) than this session, whose rootdir is {a}:"
    assert message in found.flat
    pasted = re.search(r"itself: pytest (\S+) (\S+)", found.flat)
    assert pasted is not None
    assert collect(base, *pasted.groups()).cells == [f"matrices/m.yaml{CELL}"]


def test_a_project_within_a_project_is_one_of_its_own(base: Path, collect: Start) -> None:
    outer = project(base / "outer")
    project(outer / "inner")
    found = collect(outer, ".", "--rootdir=.", "inner", "--keep-duplicates")
    assert "inner/matrices/m.yaml: belongs to another project" in found.flat
    # Where the outer one's own patterns name it, it is the outer one's.
    write(outer / "pytest.ini", "[pytest]\ncluster_matrices = **/matrices/*.yaml\n")
    assert collect(outer).cells == [f"inner/matrices/m.yaml{CELL}", f"matrices/m.yaml{CELL}"]


def test_rootdir_above_the_projects_own_settings(base: Path, root: Path, collect: Start) -> None:
    found = collect(base, "--rootdir=.", "proj")
    assert (found.cells, found.code) == ([f"proj/matrices/m.yaml{CELL}"], 0), found.text


def test_settings_elsewhere(base: Path, root: Path, collect: Start) -> None:
    write(base / "ci" / "pytest.ini", "[pytest]\n")
    found = collect(root, "-c", "../ci/pytest.ini")
    assert found.code == 2
    assert f"belongs to another project ({root}/pytest.ini)" in found.flat
    assert f"--rootdir={root} " in found.flat
    assert collect(root, "-c", "../ci/pytest.ini", "--rootdir=.").cells == [f"matrices/m.yaml{CELL}"]
    (root / "pytest.ini").unlink()
    assert collect(root, "-c", "../ci/pytest.ini").cells == [f"../proj/matrices/m.yaml{CELL}"]


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
def test_patterns_are_pytests_globs(base: Path, root: Path, pattern: str, collect: Start) -> None:
    (base / "link").symlink_to(root)
    project(root, f"cluster_matrices = {pattern.format(base=base)}")
    found = collect(root)
    assert (found.cells, found.code) == ([f"matrices/m.yaml{CELL}"], 0), found.text


@pytest.mark.parametrize(
    ("pattern", "fix"),
    [
        ("matrices/", "it names a folder: write matrices/**/*.yaml"),
        ("matrices", "it does not name a .yaml or .yml file: write matrices/**/*.yaml"),
        ("v1.2", "it does not name a .yaml or .yml file: write v1.2/**/*.yaml"),
        ('"matrices/*.yaml"', "a list has no quotes or commas: write matrices/*.yaml"),
        ("matrices/*.yaml,", "a list has no quotes or commas: write matrices/*.yaml"),
        ("a/*.yaml, b/*.yml", "write each pattern on a line of its own: a/*.yaml and b/*.yml"),
        ("a/*.yaml b/*.yml", "write each pattern on a line of its own: a/*.yaml and b/*.yml"),
        ("./matrices/.", "it names a folder: write"),
        ("matrices/*.{yaml,yml}", "write a pattern for each, matrices/*.yaml, matrices/*.yml"),
        ("{matrices,nightly}/*.yaml", "write a pattern for each, matrices/*.yaml, nightly/*.yaml"),
        ("matrices/**.yaml", "`**` stands for whole folders: write matrices/**/*.yaml"),
        ("matrices/m**.yaml", "`**` stands for whole folders: write matrices/m*.yaml"),
        ("~/matrices/*.yaml", "`~` is not expanded: write /"),
        ("matrices/*.json", "a matrix is a .yaml or .yml file: write matrices/*.yaml"),
    ],
)
def test_other_patterns_are_refused_with_the_fix(root: Path, pattern: str, fix: str, collect: Start) -> None:
    project(root, f"cluster_matrices = {pattern}")
    found = collect(root, "test_proj.py")
    assert found.code == pytest.ExitCode.USAGE_ERROR
    assert f"ERROR: pytest.ini: cluster_matrices: '{pattern}' cannot match a matrix: " in found.text
    assert fix in found.text


@pytest.mark.parametrize(
    ("pattern", "why"),
    [
        ("nightly/*.yaml", "there is no such file below {root}/nightly. Correct the pattern"),
        ("matrices/[x].yaml", "there is no such file below {root}/matrices."),
        ("matrices/*/*.yaml", "there is no such file below {root}/matrices."),
        ("../none/*.yaml", "there is no such file below {root}/../none."),
        (
            "../shared/*.yaml",
            "pytest collects the paths on the command line or in testpaths: add {base}/shared",
        ),
        (
            "{base}/shared/*.yaml",
            "pytest collects the paths on the command line or in testpaths: add {base}/shared",
        ),
        (".ci/*.yaml", "pytest does not collect .ci/, because norecursedirs excludes .*"),
    ],
)
def test_a_pattern_that_matches_nothing_is_an_error(
    base: Path, root: Path, pattern: str, why: str, collect: Start, run: Start
) -> None:
    pattern = pattern.format(base=base)
    write(base / "shared" / "m.yaml")
    write(root / ".ci" / "m.yaml")
    project(root, f"cluster_matrices = {pattern}")
    found = run(root)
    assert found.code == pytest.ExitCode.INTERRUPTED
    message = f"pytest.ini: cluster_matrices: '{pattern}' does not match a matrix: {why.format(base=base, root=root)}"
    assert message in found.flat, found.text
    # A session that does not look there cannot say so, and one that is told to ignore it knows.
    assert collect(root, "test_proj.py").code == 0


def test_mistakes_reach_the_controller_of_xdist(base: Path, root: Path, run_apart: Start) -> None:
    project(root, "cluster_matrices =", "  matrices/*.yaml", "  nightly/*.yaml")
    write(root / "other" / "x.yaml")
    (root / "matrices" / "gone.yaml").symlink_to("nowhere")
    project(base / "b")
    found = run_apart(root, "-n1", ".", "../b", "--rootdir=.")
    assert found.code != 0
    assert "matrices/gone.yaml:1:1: no such file: the link leads to" in found.text, found.text
    assert "../b/matrices/m.yaml: belongs to another project" in found.text
    assert "UncollectedWarning: this looks like a matrix" in found.text
    (root / "matrices" / "gone.yaml").unlink()
    found = run_apart(root, "-n1")
    assert found.code != 0
    assert "cluster_matrices: 'nightly/*.yaml' does not match a matrix" in found.text, found.text


def test_a_pattern_that_was_put_right_is_no_failure_to_be_run_again(root: Path, run: Start) -> None:
    project(root, "cluster_matrices = nightly/*.yaml")
    assert run(root).code == pytest.ExitCode.INTERRUPTED
    project(root, "cluster_matrices = matrices/*.yaml")
    assert run(root, "--lf").code == 0
    assert "known failure" not in run(root, "--lf").text


def test_a_pattern_whose_files_are_ignored_on_purpose_is_not_told_of(root: Path, collect: Start) -> None:
    project(root, "cluster_matrices = matrices/*.yaml")
    assert collect(root, "--ignore=matrices").code == 0


def test_one_suffix_of_a_pair_is_enough(root: Path, collect: Start) -> None:
    project(root, "cluster_matrices =", "  matrices/*.yaml", "  matrices/*.yml", "  nightly/*.yml")
    found = collect(root)
    (line,) = [line for line in found.text.splitlines() if line.startswith("pytest.ini: ")]
    assert "'nightly/*.yml' does not match a matrix" in line


def test_a_check_judges_its_run_whatever_the_patterns_are(root: Path, run: Start) -> None:
    assert run(root, "--cluster-launch").code == 0
    project(root, "cluster_matrices = nightly/*.yaml")
    checked = run(root, "--cluster-check", "--cluster-check-wait")
    assert checked.code == 0, checked.text
    assert "does not match a matrix" not in checked.text


# Files


@pytest.mark.parametrize("named", [[], ["matrices/o.YAML"]])
def test_a_suffix_in_upper_case(root: Path, named: list[str], collect: Start) -> None:
    (root / "matrices" / "m.yaml").rename(root / "matrices" / "o.YAML")
    assert collect(root, *named).cells == [f"matrices/o.YAML{CELL}"]


def test_a_suffix_in_upper_case_under_xdist(root: Path, run_apart: Start) -> None:
    (root / "matrices" / "m.yaml").rename(root / "matrices" / "o.YML")
    found = run_apart(root, "-n1")
    assert "2 passed" in found.text, found.text


def test_a_pattern_may_ask_for_upper_case(root: Path, collect: Start) -> None:
    project(root, "cluster_matrices = matrices/*.YAML")
    write(root / "matrices" / "o.YAML")
    assert collect(root).cells == [f"matrices/o.YAML{CELL}"]


@pytest.mark.parametrize("arguments", [[], ["matrices"]])
@pytest.mark.parametrize("target", ["nowhere.yaml", "gone.YML", "."])
def test_a_link_that_leads_nowhere_is_a_mistake(
    root: Path, target: str, arguments: list[str], collect: Start, run: Start
) -> None:
    name = "gone.YML" if target == "gone.YML" else "gone.yaml"
    link = root / "matrices" / name
    link.symlink_to(name if target == "." else target)
    found = run(root, *arguments)
    assert found.code != 0
    assert f"matrices/{name}:1:1: " in found.text, found.text
    assert collect(root, f"--ignore=matrices/{name}").code == 0


def test_links_that_lead_nowhere_elsewhere_are_others(root: Path, collect: Start) -> None:
    (root / "gone.yaml").symlink_to("nowhere")
    (root / "matrices" / "gone.txt").symlink_to("nowhere")
    assert collect(root).code == 0


def test_folders_that_are_linked_into_themselves_are_looked_into_once(root: Path, collect: Start) -> None:
    for number in range(3):
        (root / "matrices" / f"again{number}").symlink_to(".")
        (root / "matrices" / f"up{number}").symlink_to("..")
    found = collect(root)
    assert (found.cells, found.code) == ([f"matrices/m.yaml{CELL}"], 0)
    (root / "self").symlink_to(".")
    found = collect(root)
    assert found.cells == [f"matrices/m.yaml{CELL}"]
    assert "UncollectedWarning" not in found.text


def test_a_linked_folder_is_looked_into(base: Path, root: Path, collect: Start) -> None:
    write(base / "shared" / "deep" / "s.yaml")
    (root / "matrices" / "shared").symlink_to(base / "shared")
    assert f"matrices/shared/deep/s.yaml{CELL}" in collect(root).cells
    (root / "nightly").symlink_to("matrices")
    # The same files by another name, without a pattern that says so.
    found = collect(root)
    assert len(found.cells) == 2
    assert "UncollectedWarning" not in found.text


def test_the_machine_is_not_searched(root: Path, collect: Start) -> None:
    (root / "configs").mkdir()
    (root / "configs" / "machine").symlink_to("/proc")
    (root / "configs" / "again").symlink_to(".")
    text = "recipe_files: ['../configs/**/*.yaml', /proc/**]\nrecipes: {a: b}\ndefaults: {run: x}\n"
    write(root / "matrices" / "m.yaml", text)
    found = collect(root, "matrices")
    assert found.code == 2
    assert "'/proc/**' is outside rootdir" in found.text, found.text


def test_a_file_that_waits_for_what_comes_next_is_not_waited_for(root: Path, collect: Start) -> None:
    if not os.access("/proc/kmsg", os.R_OK):
        pytest.skip("only root reads /proc/kmsg")
    (root / "matrices" / "k.yaml").symlink_to("/proc/kmsg")
    (root / "k.yaml").symlink_to("/proc/kmsg")
    found = collect(root)
    assert found.code in (0, 2)


# Other YAML


OTHER = """
import pytest


class Workflow(pytest.File):
    def collect(self):
        yield Step.from_parent(self, name="step")


class Step(pytest.Item):
    def runtest(self):
        pass


def pytest_collect_file(file_path, parent):
    if file_path.suffix == ".yml" and file_path.parent.name == "tests":
        return Workflow.from_parent(parent, path=file_path)
"""


@pytest.mark.parametrize(
    "text", ["jobs: {x: 1}\n", "conditions: {a: 1}\nnodes: [1]\n", "- a list\n", "", "\t:"]
)
@pytest.mark.parametrize("arguments", [["tests/test_wf.yml"], ["tests"], ["tests/test_wf.yml", "matrices"]])
def test_yaml_of_another_plugin_is_left_to_it(
    root: Path, text: str, arguments: list[str], collect: Start
) -> None:
    write(root / "conftest.py", OTHER)
    write(root / "tests" / "test_wf.yml", text)
    found = collect(root, *arguments)
    assert found.code == 0, found.text
    assert "tests/test_wf.yml::step" in found.text
    assert "ERROR" not in found.text and "Warning" not in found.text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("conditions: {a: {}}\nnodes: [1]\n", "no recipes"),
        ("recipe: {a: b}\n", "unknown key 'recipe', did you mean 'recipes'?"),
        ("Recipes: {a: b}\n", "did you mean 'recipes'?"),
        ("recipes_form: x\n", "did you mean 'recipes_from'?"),
        ("\trecipes: {a: b}\n", "YAML does not allow tabs"),
        ("", "the file is empty"),
        ("recipes: {", "a value is missing here"),
        ("x-a: &a {b: 1}\nrecipes: {a: {nodez: 1}}\n", "unknown key 'nodez'"),
    ],
)
def test_an_attempt_at_a_matrix_that_is_named_is_told_of(
    root: Path, text: str, message: str, collect: Start
) -> None:
    write(root / "attempt.yaml", text)
    found = collect(root, "attempt.yaml")
    assert found.code == pytest.ExitCode.INTERRUPTED
    assert "\nattempt.yaml:" in found.text
    assert message in found.text, found.text


@pytest.mark.parametrize(
    "text", ["services: {web: {image: x}}\n", "- hosts: all\n", "on: push\njobs: {a: {}}\n", "a text\n"]
)
def test_other_yaml_that_is_named_and_not_collected_is_pytests_affair(
    root: Path, text: str, collect: Start
) -> None:
    write(root / "compose.yaml", text)
    found = collect(root, "compose.yaml")
    assert found.code == pytest.ExitCode.USAGE_ERROR
    assert "not found: " in found.text
    assert "recipes" not in found.text


def test_a_matrix_that_is_named_runs_wherever_it_is(base: Path, root: Path, collect: Start) -> None:
    write(base / "elsewhere" / "x.yaml")
    write(
        root / "deep" / "matrices" / "y.yaml",
        "x-free: [1, {a: [b]}]\nrecipe_files: ../../*.py\ndefaults: {run: 'true'}\n",
    )
    found = collect(root, "--rootdir=.", "../elsewhere/x.yaml", "deep/matrices/y.yaml")
    assert found.code == 0, found.text
    assert f"../elsewhere/x.yaml{CELL}" in found.cells
    assert "deep/matrices/y.yaml::" in found.text


@pytest.mark.parametrize("name", ["m.yaml", "deep/matrices/m.yml", "matrix/nightly.YAML"])
def test_a_matrix_that_no_pattern_matches_is_told_of(root: Path, name: str, collect: Start) -> None:
    text = "# a comment\nnodes: [1]\nrecipes: {a: b}\nconditions: {c: {}}\n"
    write(root / name, text)
    found = collect(root)
    assert found.code == 0
    assert found.flat.count(f"{root}/{name}:1: UncollectedWarning: this looks like a matrix") == 1, found.text
    assert f"relative to rootdir {root}, does not match it. Add a pattern, or name the file" in found.flat
    # Not where the session does not look: pytest passes by on its way to what is named.
    assert "UncollectedWarning" not in collect(root, "test_proj.py").text


def test_where_warnings_are_errors_a_file_that_lies_there_stops_no_test(root: Path, run_apart: Start) -> None:
    write(root / "m.yaml")
    found = run_apart(root, "-Werror", "test_proj.py", "m.yaml", "-k", "it")
    assert "UncollectedWarning" not in found.text
    found = run_apart(root, "-Werror", ".")
    assert "2 passed, 1 warning" in found.text
    assert "m.yaml:1: UncollectedWarning: this looks like a matrix" in found.flat
    assert "Warning" not in run_apart(root, "-Wignore").text


@pytest.mark.parametrize(
    "text",
    [
        "recipes: {a: b}\n",
        "conditions: {recipes: 1}\n",
        "- recipes: 1\n  conditions: 2\n",
        "# recipes: conditions:\na: b\n",
        "recipes: conditions: {",
    ],
)
def test_other_yaml_is_not_told_of(root: Path, text: str, collect: Start) -> None:
    write(root / "other.yaml", text)
    assert "Warning" not in collect(root).text


# Editors


VSCODE = '''
"""What an editor's plugin does: it describes the tree of items by the attributes that it reads of them."""

import json
import pytest


def pytest_sessionfinish(session):
    found = [
        {
            "id": "::".join([str(item.path), *item.nodeid.split("::")[1:]]),
            "line": item.location[1] + 1,
            "name": item.name,
            "file": str(item.parent.path),
            "is_function": isinstance(item, pytest.Function) and isinstance(item.parent, pytest.Module),
            "parametrized": hasattr(item, "callspec"),
            "function": item.function.__name__,
        }
        for item in session.items
    ]
    with open("tree.json", "w") as stream:
        json.dump(found, stream)
'''


def test_the_arguments_of_an_editor(base: Path, root: Path, run_apart: Start) -> None:
    write(root / "vscode_pytest.py", VSCODE)
    link = base / "link"
    link.symlink_to(root)
    for way in (root, link):
        common = (f"--rootdir={way}", "-p", "vscode_pytest")
        found = run_apart(root, "--collect-only", "-q", *common)
        assert found.code == 0, found.text
        tree = [
            node for node in json.loads((root / "tree.json").read_text()) if node["file"].endswith(".yaml")
        ]
        assert [(node["name"], node["line"], node["is_function"]) for node in tree] == [("a-1n-c", 1, True)]
        again = run_apart(root, "--collect-only", "-q", *common, tree[0]["id"])
        assert (again.cells, again.code) == ([f"matrices/m.yaml{CELL}"], 0), again.text
        assert run_apart(root, *common, f"{way}/matrices/m.yaml::a-1n-c").code == 0


# What it costs


PAYS = """
import sys

NAMES = ("plugin.matrix_files", "plugin.uncollected", "plugin.items", "matrix", "engine", "model")
LATE = {"pydantic", "yaml", *(f"pytest_clusterjobs.{name}" for name in NAMES)}

def test_it():
    assert not LATE & set(sys.modules)
"""


def test_a_project_without_matrices_pays_for_nothing(root: Path, run_apart: Start) -> None:
    shutil.rmtree(root / "matrices")
    write(root / "test_proj.py", PAYS)
    found = run_apart(root)
    assert found.code == 0, found.text
