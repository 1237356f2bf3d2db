"""A run is judged by what it was launched with, whatever today's files and conftests say; differences are
told."""

from __future__ import annotations

import json
import signal
import sqlite3
import sys
import xml.etree.ElementTree as ET
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from tests.plugin.test_leaks import start
from tests.plugin.test_leaks import until

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

MATRIX = """
recipes: {a: "exit ${CODE:-0}"}
nodes: [1]
conditions:
  ok: {}
  bad: {env: {CODE: 3}}
  exp3: {env: {CODE: 3}, expect: {exit_code: 3}}
"""

BAD = "  bad: {env: {CODE: 3}}\n"

AS_LAUNCHED = {"passed": 2, "failed": 1}


def launch(project: Project, text: str = MATRIX, *arguments: str) -> None:
    project.matrix(text)
    assert project.pytester.runpytest("--cluster-launch", *arguments).ret == pytest.ExitCode.OK


def check(project: Project, *arguments: str) -> pytest.RunResult:
    return project.pytester.runpytest(
        "--cluster-check", "--cluster-check-wait", "--junitxml=report.xml", *arguments
    )


def differences(result: pytest.RunResult) -> list[str]:
    """The lines that say how today differs: what stands after the table's own notes."""
    lines = result.stdout.lines
    begin = next(place for place, line in enumerate(lines) if line.startswith("report: "))
    return [
        line for line in lines[begin + 1 :] if ": " in line and not line.startswith(("exit code", "-", "="))
    ]


def marked(text: str) -> str:
    return MATRIX.replace(BAD, BAD.replace("}}\n", "}, marks: [MARK]}\n").replace("MARK", text))


def test_without_changes_there_is_nothing_to_say(project: Project) -> None:
    launch(project)
    result = check(project)
    assert result.parseoutcomes() == AS_LAUNCHED
    assert differences(result) == []


def test_a_cell_that_was_removed_is_judged_and_seen_everywhere(project: Project) -> None:
    launch(project)
    project.matrix(MATRIX.replace(BAD, ""))
    result = check(project)
    assert result.parseoutcomes() == AS_LAUNCHED
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["* a * bad * failed * job_failed * 3 *"])
    result.stdout.fnmatch_lines(
        ["1 cell of this run is no longer in matrices/m.yaml: judged as launched: a-1n-bad"]
    )
    result.stdout.fnmatch_lines(["FAILED matrices/m.yaml::a-1n-bad - got job_failed exit 3, *"])
    assert project.report("report.json")["summary"]["failed"] == 1
    (failed,) = (case for case in ET.parse("report.xml").iter("testcase") if case.find("failure") is not None)
    assert failed.get("name") == "a-1n-bad"


@pytest.mark.parametrize(
    "arguments", [[], ["matrices"], ["."], ["--lf"], ["-p", "no:cacheprovider"]], ids=str
)
@pytest.mark.parametrize("how", ["file", "folder", "renamed"])
def test_a_file_that_is_gone_is_judged(project: Project, how: str, arguments: list[str]) -> None:
    launch(project)
    path = project.path / "matrices" / "m.yaml"
    if how == "renamed":
        path.rename(path.with_name("n.yaml"))
    else:
        path.unlink()
    if how == "folder":
        path.parent.rmdir()
    if how == "folder" and "matrices" in arguments:
        assert check(project, *arguments).ret == pytest.ExitCode.USAGE_ERROR
        return
    result = check(project, *arguments)
    found = result.parseoutcomes()
    assert (found["passed"], found["failed"]) == (2, 1)
    result.stdout.fnmatch_lines(
        [
            "3 cells of this run are no longer in matrices/m.yaml, which is gone: judged as launched: a-1n-ok, *"
        ]
    )
    if how == "renamed":
        named = any(each in arguments for each in (".", "matrices"))
        assert found["skipped" if named else "deselected"] == 3
        done = ": not run" if named else ", and not judged"
        result.stdout.fnmatch_lines([f"not part of this run{done}: matrices/n.yaml::a-1n-ok, *"])


def test_a_file_that_is_gone_has_the_fixtures_of_its_folder(project: Project) -> None:
    project.pytester.makeconftest("")
    (project.path / "matrices").mkdir()
    (project.path / "matrices" / "conftest.py").write_text(
        "import pytest\n@pytest.fixture\ndef slow(request):\n    assert request.node.result.outcome.exit_code == 1"
    )
    launch(project, '{recipes: {a: "true"}, nodes: [1], conditions: {c: {fixtures: [slow]}}}')
    (project.path / "matrices" / "m.yaml").unlink()
    check(project).assert_outcomes(errors=1)


@pytest.mark.parametrize(
    "text",
    [
        "recipes: {",
        "- no matrix",
        MATRIX.replace("nodes: [1]", "nodes: [0]"),
        "\x00",
    ],
)
def test_a_matrix_that_cannot_be_read_today_is_judged(project: Project, text: str) -> None:
    launch(project)
    project.matrix(text)
    result = check(project)
    assert result.parseoutcomes() == AS_LAUNCHED
    result.stdout.fnmatch_lines(
        [
            "matrices/m.yaml cannot be read today (matrices/m.yaml:*), 3 cells of this run are judged as launched: *"
        ]
    )


def test_a_matrix_that_is_no_part_of_the_run_and_cannot_be_read_is_an_error(project: Project) -> None:
    launch(project)
    project.matrix("recipes: {", "matrices/other.yaml")
    assert check(project).ret == pytest.ExitCode.INTERRUPTED


MARKS = {
    "skip": "skip",
    "skip with a reason": "{skip: no capacity}",
    "skipif": '{skipif: {condition: "True", reason: nope}}',
    "xfail that does not run": "{xfail: {reason: known, run: false}}",
}


@pytest.mark.parametrize("mark", MARKS)
def test_a_cell_marked_skip_since_the_launch_is_judged(project: Project, mark: str) -> None:
    launch(project)
    project.matrix(marked(MARKS[mark]))
    result = check(project)
    assert result.parseoutcomes() == AS_LAUNCHED
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        [
            f"marked {mark.split()[0].removesuffix('if')} since the launch: judged all the same: matrices/m.yaml::a-1n-bad"
        ]
    )


@pytest.mark.parametrize("strict", ["true", "false"])
def test_a_cell_marked_xfail_since_the_launch_fails(project: Project, strict: str) -> None:
    launch(project)
    project.matrix(marked(f"{{xfail: {{reason: known, strict: {strict}}}}}"))
    result = check(project)
    assert result.parseoutcomes() == AS_LAUNCHED
    result.stdout.fnmatch_lines(
        ["marked xfail since the launch: judged without the mark: matrices/m.yaml::a-1n-bad"]
    )


@pytest.mark.parametrize(
    "code",
    [
        "item.add_marker(pytest.mark.skip(reason='not today'))",
        "item.add_marker('skip')",
        "item.add_marker(pytest.mark.xfail)",
        "item.parent.add_marker(pytest.mark.xfail(reason='all of them'))",
        "item.session.add_marker(pytest.mark.skip(reason='all of them'))",
    ],
)
def test_marks_that_a_conftest_adds_since_the_launch_judge_nothing(project: Project, code: str) -> None:
    launch(project)
    project.pytester.makeconftest(
        f"import pytest\ndef pytest_collection_modifyitems(items):\n    for item in items: {code}"
    )
    result = check(project)
    assert result.parseoutcomes() == AS_LAUNCHED
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["marked * since the launch: judged *: matrices/m.yaml::a-1n-ok, *"])


@pytest.mark.parametrize(
    "code",
    [
        "def pytest_collection_modifyitems(items): items[:] = [item for item in items if 'bad' not in item.name]",
        "def pytest_ignore_collect(collection_path): return True if collection_path.suffix == '.yaml' else None",
        "collect_ignore = ['matrices']",
        "collect_ignore_glob = ['*.yaml']",
        "def pytest_collect_directory(path, parent): return None if path.name != 'matrices' else NOTHING",
    ],
)
def test_cells_that_a_conftest_takes_out_since_the_launch_are_judged(project: Project, code: str) -> None:
    launch(project)
    if "NOTHING" in code:
        code = (
            "import pytest\nclass Empty(pytest.Directory):\n    def collect(self): return []\n"
            + code.replace("NOTHING", "Empty.from_parent(parent, path=path)")
        )
    project.pytester.makeconftest(code)
    result = check(project)
    assert result.parseoutcomes() == AS_LAUNCHED
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_patterns_that_changed_since_the_launch_claim_the_runs_files(project: Project) -> None:
    launch(project)
    project.ini("cluster_matrices = nightly/*.yaml")
    assert check(project).parseoutcomes() == AS_LAUNCHED


def test_what_a_conftest_deselects_is_told(project: Project) -> None:
    launch(project)
    project.pytester.makeconftest(
        """
        def pytest_collection_modifyitems(config, items):
            config.hook.pytest_deselected(items=[item for item in items if 'bad' in item.name])
            items[:] = [item for item in items if 'bad' not in item.name]
        """
    )
    result = check(project)
    assert result.parseoutcomes() == {"passed": 2, "deselected": 1}
    result.stdout.fnmatch_lines(
        ["1 cell of this run is not selected, and not judged here: matrices/m.yaml::a-1n-bad"]
    )


def test_an_xfail_mark_of_the_launch_stays_in_force(project: Project) -> None:
    launch(project, marked("{xfail: {reason: known, strict: true}}"))
    project.matrix(MATRIX)
    result = check(project)
    assert result.parseoutcomes() == {"passed": 2, "xfailed": 1}
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        ["marked xfail at the launch and not today: judged with the mark: matrices/m.yaml::a-1n-bad"]
    )


def test_an_xfail_mark_is_as_strict_as_at_the_launch(project: Project) -> None:
    strict = MATRIX.replace("  ok: {}", "  ok: {marks: [{xfail: {reason: known, strict: true}}]}")
    launch(project, strict)
    project.matrix(strict.replace("strict: true", "strict: false"))
    result = check(project)
    assert result.parseoutcomes() == {"passed": 1, "failed": 2}
    result.stdout.fnmatch_lines(
        ["xfail mark changed since the launch: judged by the mark of the launch: matrices/m.yaml::a-1n-ok"]
    )


@pytest.mark.parametrize("at_launch", ["1", "0"])
def test_conditions_count_as_they_were_at_the_launch(
    project: Project, monkeypatch: pytest.MonkeyPatch, at_launch: str
) -> None:
    monkeypatch.setenv("SITE", at_launch)
    text = marked("""{xfail: {condition: "os.environ['SITE'] == '1'", reason: known}}""")
    launch(project, text)
    monkeypatch.setenv("SITE", "0" if at_launch == "1" else "1")
    expected = {"passed": 2, "xfailed": 1} if at_launch == "1" else AS_LAUNCHED
    assert check(project).parseoutcomes() == expected


RAISES = """
import pytest
from pytest_clusterjobs.api.errors import UnmetExpectation
class Odd(Exception): pass
def pytest_collection_modifyitems(items):
    for item in items: item.add_marker(pytest.mark.xfail(reason="known", raises=WHAT))
"""


@pytest.mark.parametrize(
    ("what", "outcome"),
    [
        ("AssertionError", "xfailed"),
        ("(ValueError, UnmetExpectation)", "xfailed"),
        ("Exception", "xfailed"),
        ("ValueError", "failed"),
        ("Odd", "failed"),
        ("pytest.RaisesExc(ValueError, match='x')", "failed"),
    ],
)
@pytest.mark.parametrize("today", ["gone", "kept"])
def test_an_xfail_mark_expects_what_it_expected(
    project: Project, what: str, outcome: str, today: str
) -> None:
    project.pytester.makeconftest(RAISES.replace("WHAT", what))
    launch(project)
    if today == "gone":
        project.pytester.makeconftest("")
    assert check(project).parseoutcomes() == {"xpassed": 2, outcome: 1}


def test_a_mark_that_json_cannot_hold_stops_nothing(project: Project) -> None:
    project.pytester.makeconftest(
        """
        from dataclasses import replace
        from pytest_clusterjobs.model import Mark
        def pytest_clusterjobs_modify_cells(cells):
            cells[:] = [replace(cell, marks=(Mark("xfail", kwargs={"raises": AssertionError}),)) for cell in cells]
        """
    )
    launch(project)
    project.pytester.makeconftest("")
    assert check(project).parseoutcomes() == {"xpassed": 2, "xfailed": 1}


@pytest.mark.parametrize(
    ("mark", "outcomes"),
    [
        ("{skip: not today}", {"passed": 2, "skipped": 1}),
        ("{xfail: {reason: known, run: false}}", {"passed": 2, "xfailed": 1}),
    ],
)
@pytest.mark.parametrize("mode", ["--cluster-check", "--cluster-resume"])
def test_a_cell_left_out_at_the_launch_stays_left_out(
    project: Project, mark: str, outcomes: dict[str, int], mode: str
) -> None:
    launch(project, marked(mark))
    project.matrix(MATRIX)
    waiting = ["--cluster-check-wait"] if mode == "--cluster-check" else []
    result = project.pytester.runpytest(mode, *waiting)
    assert result.parseoutcomes() == outcomes
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(
        ["marked * at the launch and not today: still left out: matrices/m.yaml::a-1n-bad"]
    )


def test_marks_that_fixtures_set_at_run_time_count_as_ever(project: Project) -> None:
    project.pytester.makeconftest(
        "import pytest\n@pytest.fixture(autouse=True)\ndef known(request): request.node.add_marker('xfail')"
    )
    launch(project)
    assert check(project).parseoutcomes() == {"xpassed": 2, "xfailed": 1}


@pytest.mark.parametrize(
    ("old", "new", "fields"),
    [
        ("{env: {CODE: 3}}", "{env: {CODE: 3}, expect: {exit_code: 3}}", "expect"),
        ("{env: {CODE: 3}}", "{env: {CODE: 0}}", "env"),
        (
            "{env: {CODE: 3}}",
            "{env: {CODE: 3}, max_runtime: 5m, infra_retries: 2}",
            "max_runtime, infra_retries",
        ),
        ("{env: {CODE: 3}}", "{env: {CODE: 3}, classify: [{exit_code: 3, reason: cancelled}]}", "classify"),
    ],
)
def test_a_cell_that_was_edited_is_judged_as_launched(
    project: Project, old: str, new: str, fields: str
) -> None:
    launch(project)
    project.matrix(MATRIX.replace(old, new))
    result = check(project)
    assert result.parseoutcomes() == AS_LAUNCHED
    result.stdout.fnmatch_lines(
        [
            f"1 cell of this run has changed in matrices/m.yaml since the launch ({fields}): judged as launched: a-1n-bad"
        ]
    )


def test_fixtures_are_those_of_the_launch(project: Project) -> None:
    project.pytester.makeconftest("import pytest\n@pytest.fixture\ndef strict(): pytest.fail('too slow')")
    launch(project, MATRIX.replace("ok: {}", "ok: {fixtures: [strict]}"))
    project.matrix(MATRIX)
    assert check(project).parseoutcomes() == {"passed": 1, "failed": 1, "errors": 1}


def test_a_recipe_that_was_renamed(project: Project) -> None:
    launch(project)
    project.matrix(MATRIX.replace("{a:", "{b:"))
    result = check(project)
    assert result.parseoutcomes() == {**AS_LAUNCHED, "deselected": 3}
    result.stdout.fnmatch_lines(
        [
            "3 cells of this run are no longer in matrices/m.yaml: judged as launched: a-1n-ok, a-1n-bad, a-1n-exp3",
            "not part of this run, and not judged: matrices/m.yaml::b-1n-ok, *",
        ]
    )


@pytest.mark.parametrize(
    "body",
    [
        "cells[:] = [cell for cell in cells if 'bad' not in cell.id]",
        "cells[:] = [replace(cell, skip='not today') for cell in cells]",
        "cells[:] = [replace(cell, marks=(Mark('skip'),)) for cell in cells]",
        "cells[:] = [replace(cell, expect=Expectation(exit_codes=None)) for cell in cells]",
        "raise RuntimeError('broken {today}')",
    ],
)
def test_hooks_that_change_cells_since_the_launch_judge_nothing(project: Project, body: str) -> None:
    launch(project)
    project.pytester.makeconftest(
        "from dataclasses import replace\nfrom pytest_clusterjobs.model import Expectation, Mark\n"
        f"def pytest_clusterjobs_modify_cells(cells): {body}"
    )
    result = check(project)
    assert result.parseoutcomes() == AS_LAUNCHED
    assert differences(result)


def test_what_a_hook_made_at_the_launch_is_judged(project: Project) -> None:
    project.pytester.makeconftest(
        "from dataclasses import replace\n"
        "def pytest_clusterjobs_modify_cells(cells):\n"
        "    cells[:] = [replace(cell, id=f'{cell.id}.x') for cell in cells]"
    )
    launch(project)
    project.pytester.makeconftest("")
    found = check(project).parseoutcomes()
    assert (found["passed"], found["failed"]) == (2, 1)


@pytest.mark.parametrize("removed", [True, False])
@pytest.mark.parametrize(
    ("arguments", "outcomes", "left"),
    [
        (["-k", "ok"], {"passed": 1, "deselected": 2}, 2),
        (["-k", "bad"], {"failed": 1, "deselected": 2}, 2),
        (["matrices/m.yaml::a-1n-bad"], {"failed": 1}, 2),
        (["--deselect", "matrices/m.yaml::a-1n-bad"], {"passed": 2, "deselected": 1}, 1),
        (["matrices/m.yaml"], AS_LAUNCHED, 0),
    ],
)
def test_a_selection_applies_and_is_told(
    project: Project, arguments: list[str], outcomes: dict[str, int], left: int, removed: bool
) -> None:
    launch(project)
    if removed:
        project.matrix(MATRIX.replace(BAD, ""))
    result = check(project, *arguments)
    assert result.parseoutcomes() == outcomes
    told = [line for line in result.stdout.lines if "not selected, and not judged here" in line]
    assert len(told) == bool(left)
    assert not left or told[0].startswith(f"{left} cell")


def test_marks_of_the_launch_and_of_today_select(project: Project) -> None:
    project.ini("markers = nightly", "    weekly")
    launch(project, marked("nightly"))
    project.matrix(marked("weekly"))
    for mark in ("nightly", "weekly"):
        assert check(project, "-m", mark).parseoutcomes() == {"failed": 1, "deselected": 2}


def test_the_runs_own_files_are_checked_wherever_they_are(project: Project) -> None:
    """Named at the launch, outside of patterns, of testpaths, and of the folders that pytest goes into."""
    project.pytester.makepyfile(**{"tests/test_it": "def test_it(): pass"})
    project.ini("testpaths = tests")
    names = ["matrices/m.yaml", "elsewhere/x.yaml", "build/y.yaml", "../z.yaml"]
    for name in names:
        project.matrix(MATRIX, name)
    assert project.pytester.runpytest("--cluster-launch", *names).ret == pytest.ExitCode.OK
    assert check(project).parseoutcomes() == {"passed": 9, "failed": 4}
    (project.path / "build" / "y.yaml").unlink()
    assert check(project).parseoutcomes() == {"passed": 9, "failed": 4}
    result = check(project, "tests")
    assert result.parseoutcomes() == {"passed": 1}
    result.stdout.fnmatch_lines(["12 cells of this run are not selected, and not judged here: *"])
    assert check(project, "--ignore=matrices", "--ignore=build").parseoutcomes() == {"passed": 5, "failed": 2}


def test_the_conftest_of_a_folder_out_of_sight_is_loaded(project: Project) -> None:
    project.ini("testpaths = tests")
    (project.path / "tests").mkdir()
    project.matrix(MATRIX.replace("ok: {}", "ok: {fixtures: [near]}"), "matrices/m.yaml")
    (project.path / "matrices" / "conftest.py").write_text("import pytest\n@pytest.fixture\ndef near(): pass")
    assert project.pytester.runpytest("--cluster-launch", "matrices").ret == pytest.ExitCode.OK
    assert check(project).parseoutcomes() == AS_LAUNCHED


def test_the_backend_of_the_launch_is_no_difference(project: Project) -> None:
    project.pytester.makepyprojecttoml('[tool.clusterjobs.backends.here]\ntype = "local"')
    launch(project, MATRIX, "--cluster-backend=here")
    result = check(project)
    assert result.parseoutcomes() == AS_LAUNCHED
    assert differences(result) == []


def test_order_is_the_launchs_and_cells_of_many_files_are_told_by_file(project: Project) -> None:
    project.matrix(MATRIX, "matrices/n.yaml")
    launch(project)
    for name in ("m", "n"):
        project.matrix(MATRIX.replace(BAD, ""), f"matrices/{name}.yaml")
    result = check(project, "--cluster-order=file", "-v")
    result.stdout.fnmatch_lines(
        [
            "matrices/m.yaml::a-1n-ok PASSED*",
            "matrices/m.yaml::a-1n-bad FAILED*",
            "matrices/m.yaml::a-1n-exp3 PASSED*",
        ]
    )
    for name in ("m", "n"):
        result.stdout.fnmatch_lines([f"1 cell of this run is no longer in matrices/{name}.yaml: *: a-1n-bad"])


def test_only_collecting_shows_the_cells_of_the_run(project: Project) -> None:
    launch(project)
    project.matrix(MATRIX.replace(BAD, ""))
    result = project.pytester.runpytest("--cluster-check", "--collect-only", "-q")
    result.stdout.fnmatch_lines(["matrices/m.yaml::a-1n-bad"])
    assert project.verdicts() == {"a-1n-ok": None, "a-1n-bad": None, "a-1n-exp3": None}


def test_a_job_that_failed_is_not_green_where_today_s_code_skips_its_item(project: Project) -> None:
    launch(project)
    project.pytester.makeconftest("import pytest\ndef pytest_runtest_setup(item): pytest.skip('not today')")
    result = check(project)
    assert result.parseoutcomes() == {"skipped": 3}
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["exit code 1: 2 cells not run, 1 job failed"])


def test_a_ledger_that_says_nothing_of_marks_takes_todays(project: Project) -> None:
    """One of a version before they were noted. That the cell ran is known all the same."""
    launch(project)
    (ledger,) = project.path.glob(".clusterjobs/runs/*/ledger.sqlite")
    with closing(sqlite3.connect(ledger)) as db, db:
        for key, text in db.execute("SELECT key, registration FROM cells").fetchall():
            entry = json.loads(text)
            del entry["xfails"]
            db.execute("UPDATE cells SET registration = ? WHERE key = ?", (json.dumps(entry), key))
        db.execute("DELETE FROM meta WHERE name = 'left_out'")
    project.matrix(marked("{xfail: {reason: known}}"))
    assert check(project).parseoutcomes() == {"passed": 2, "xfailed": 1}
    project.matrix(marked("skip"))
    assert check(project).parseoutcomes() == AS_LAUNCHED


@pytest.mark.parametrize("how", ["removed", "gone", "skip"])
def test_a_resume_goes_on_with_the_cells_of_the_run(project: Project, how: str) -> None:
    text = MATRIX.replace(BAD, "  bad: {run: 'while [ ! -e go ]; do sleep 0.1; done; exit 3'}\n")
    path = project.matrix(text)
    process = start(project)
    until(lambda: len(list(project.path.glob(".clusterjobs/runs/*/local/logs/*.log"))) == 3, 30)
    process.send_signal(signal.SIGINT)
    process.communicate()
    (project.path / "go").touch()
    if how == "gone":
        path.unlink()
    else:
        project.matrix(MATRIX.replace(BAD, "") if how == "removed" else marked("skip"))
    result = project.pytester.runpytest("--cluster-resume")
    assert result.parseoutcomes() == AS_LAUNCHED
    assert result.ret == pytest.ExitCode.TESTS_FAILED


def test_rejudging_is_by_the_cells_of_the_launch(project: Project) -> None:
    launch(project)
    check(project)
    project.matrix(MATRIX.replace(BAD, "").replace("exit_code: 3", "exit_code: 4"))
    command = (sys.executable, "-m", "pytest_clusterjobs.cli", "rejudge", "--json")
    then = project.pytester.run(*command)
    assert {each["key"].rpartition("-")[2]: each["is"] for each in json.loads(then.stdout.str())} == {
        "ok": "passed",
        "bad": "failed",
        "exp3": "passed",
    }
    now = project.pytester.run(*command, "--with-todays-file")
    assert now.ret == pytest.ExitCode.TESTS_FAILED
    assert {each["key"].rpartition("-")[2]: each["is"] for each in json.loads(now.stdout.str())} == {
        "ok": "passed",
        "bad": None,
        "exp3": "failed",
    }
