"""pytest, table, JSON report, JUnit and other plugins' reports say the same of a cell, and no silence is
green."""

from __future__ import annotations

import json
import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

CLUSTERJOBS = (sys.executable, "-m", "pytest_clusterjobs.cli")

ONE = '{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}'

DEPENDENT = """
recipes: {a: "true"}
nodes: [1]
conditions:
  first: {run: RUN, marks: [MARK]}
  second: {marks: [{dependency: {depends: [a-1n-first]}}]}
"""


def table(result: pytest.RunResult) -> list[str]:
    """The status column of the table, by the order of its rows."""
    lines = result.stdout.lines
    begin = next(place for place, line in enumerate(lines) if line.startswith("job "))
    column = lines[begin].index("status")
    end = next(place for place, line in enumerate(lines) if place > begin and line.startswith("run "))
    return [line[column : lines[begin].index("reason")].strip() for line in lines[begin + 1 : end]]


def junit(project: Project, name: str = "report.xml") -> dict[str, list[str]]:
    cases = ET.parse(project.path / name).iter("testcase")
    return {
        str(case.get("name")): [child.tag for child in case if child.tag != "properties"] for case in cases
    }


def properties(project: Project, name: str = "report.xml") -> dict[str, str]:
    found = ET.parse(project.path / name).iter("property")
    return {each.get("name", "").removeprefix("clusterjobs."): each.get("value", "") for each in found}


SKIPS = {
    "a fixture": "@pytest.fixture(autouse=True)\ndef no(): pytest.skip('no')",
    "a setup hook": "def pytest_runtest_setup(item): pytest.skip('no')",
    "a call hook": "@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_call(item): pytest.skip('no')",
    "a report hook": """
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        report.outcome, report.longrepr = "skipped", (str(item.path), 1, "Skipped: no")
    return report
""",
}


@pytest.mark.parametrize("arguments", [[], ["--cluster-order=file"], ["-n1"]], ids=str)
@pytest.mark.parametrize("kind", SKIPS)
def test_a_cell_that_pytest_skipped_is_nowhere_green(
    project: Project, kind: str, arguments: list[str]
) -> None:
    project.matrix(ONE)
    project.pytester.makeconftest(f"import pytest\n{SKIPS[kind]}")
    result = project.run("--junitxml=report.xml", "-o", "junit_family=xunit1", *arguments)
    assert result.parseoutcomes() == {"skipped": 1}
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["run *: 1 skipped", "exit code 1: 1 cell not run"])
    assert table(result) == ["skipped, job passed"]
    (cell,) = project.report("report.json")["cells"]
    assert (cell["verdict"], cell["reported"]) == ("not run", "skipped")
    assert cell["result"]["judgement"]["verdict"] == "passed"
    assert junit(project) == {"a-1n-c": ["skipped"]}
    assert (properties(project)["verdict"], properties(project)["job_verdict"]) == ("not run", "passed")


def test_a_rebuilt_report_says_what_the_session_said(project: Project) -> None:
    project.matrix(ONE)
    project.pytester.makeconftest(f"import pytest\n{SKIPS['a call hook']}")
    project.run("--junitxml=report.xml", "-o", "junit_family=xunit1")
    project.pytester.run(*CLUSTERJOBS, "report", "--junit", "again.xml")
    assert junit(project, "again.xml") == junit(project)
    assert properties(project, "again.xml") == properties(project)


def test_a_teardown_that_fails_makes_the_cell_an_error_everywhere(project: Project) -> None:
    project.matrix(ONE)
    project.pytester.makeconftest(
        "import pytest\n@pytest.fixture(autouse=True)\ndef bad():\n    yield\n    raise OSError('disk')"
    )
    result = project.run("--junitxml=report.xml", "-o", "junit_family=xunit1")
    assert result.parseoutcomes() == {"passed": 1, "errors": 1}
    assert table(result) == ["error, job passed"]
    assert project.report("report.json")["summary"]["error"] == 1
    assert "error" in junit(project)["a-1n-c"]
    assert properties(project)["verdict"] == "error"


def test_words_of_other_plugins_are_kept_and_are_not_green(project: Project) -> None:
    project.matrix("{recipes: {a: 'true', b: 'true'}, nodes: [1], conditions: {c: {}}}")
    project.pytester.makeconftest(
        """
        import pytest
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            if call.when == "call" and "a-1n" in item.nodeid:
                report.outcome = "postponed"
            if call.when == "call" and "b-1n" in item.nodeid:
                again = pytest.TestReport.from_item_and_call(item, call)
                again.outcome = "retried"
                item.ihook.pytest_runtest_logreport(report=again)
            return report
        def pytest_report_teststatus(report):
            if report.outcome in ("postponed", "retried"):
                return report.outcome, "P", report.outcome.upper()
        """
    )
    result = project.run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    cells = {cell["key"][-6:]: (cell["verdict"], cell["reported"]) for cell in project.report()["cells"]}
    assert cells == {"a-1n-c": ("not run", "postponed"), "b-1n-c": ("passed", "passed")}
    assert sorted(table(result)) == ["passed", "postponed, job passed"]
    for command in (["runs"], ["show", "a-1n-c"], ["report"]):
        assert project.pytester.run(*CLUSTERJOBS, *command).ret == 0


@pytest.mark.parametrize(
    ("outcome", "word"), [("None", "None"), ("'\\x1b[2J' + 99 * 'x'", r"\x1b[2J" + 68 * "x")]
)
def test_an_outcome_that_is_no_word_is_made_one(project: Project, outcome: str, word: str) -> None:
    project.matrix(ONE)
    project.pytester.makeconftest(
        f"""
        import pytest
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(call):
            report = yield
            report.outcome = {outcome} if call.when == "call" else report.outcome
            return report
        def pytest_report_teststatus(report):
            return ("odd", "O", "ODD") if report.when == "call" else None
        """
    )
    result = project.run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    (cell,) = project.report()["cells"]
    assert cell["verdict"] == "not run"
    assert cell["reported"].removesuffix("[...]") == word
    assert "\x1b[2J" not in result.stdout.str()


def test_a_cell_of_which_pytest_says_nothing_is_not_green(project: Project) -> None:
    project.matrix(ONE)
    project.pytester.makeconftest(
        "import pytest\n@pytest.hookimpl(tryfirst=True)\ndef pytest_runtest_protocol(item): return True"
    )
    result = project.run()
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["exit code 1: pytest did not report 1 cell"])


def test_an_exit_with_0_does_not_hide_cells_without_a_verdict(project: Project) -> None:
    project.matrix("{recipes: {a: sleep 60}, nodes: [1], conditions: {c: {}}}")
    project.pytester.makepyfile("import pytest\ndef test_it(): pytest.exit('enough', returncode=0)")
    result = project.pytester.runpytest()
    assert result.ret == pytest.ExitCode.TESTS_FAILED


XFAILS = """
recipes: {a: "true"}
nodes: [1]
defaults: {marks: [{xfail: {reason: known, strict: STRICT}}]}
conditions:
  bad: {run: exit 7}
  good: {}
  infra: {run: hint node_failed}
  refused: {run: refuse}
"""


@pytest.mark.parametrize("strict", ["true", "false"])
@pytest.mark.parametrize("arguments", [[], ["-n1"]], ids=str)
def test_xfail_is_one_thing_everywhere(project: Project, strict: str, arguments: list[str]) -> None:
    project.matrix(XFAILS.replace("STRICT", strict))
    result = project.run("--junitxml=report.xml", *arguments)
    good = "failed" if strict == "true" else "xpassed"
    assert result.parseoutcomes() == {"xfailed": 1, good: 1, "errors": 2}
    assert sorted(table(result)) == sorted(
        ["xfailed", "failed, job passed" if strict == "true" else "xpassed", "error", "error"]
    )
    cells = {
        cell["key"].rpartition("-")[2]: cell["reported"] for cell in project.report("report.json")["cells"]
    }
    assert cells == {"bad": "xfailed", "good": good, "infra": "error", "refused": "error"}
    found = junit(project)
    assert (found["a-1n-infra"], found["a-1n-refused"], found["a-1n-bad"]) == (
        ["error"],
        ["error"],
        ["skipped"],
    )
    assert found["a-1n-good"] == (["failure"] if strict == "true" else [])


EXPECTED = {"bad": "xfailed", "good": "xpassed", "infra": "error", "refused": "error"}


def test_allure_says_the_same(project: Project) -> None:
    pytest.importorskip("allure_pytest")
    project.matrix(
        XFAILS.replace("STRICT", "false") + "  plain: {run: exit 7, marks: null}\n  fine: {marks: null}\n"
    )
    project.pytester.runpytest_subprocess("--cluster-backend=spy", "--alluredir=allure")
    found = {}
    for path in (project.path / "allure").glob("*-result.json"):
        said = json.loads(path.read_text())
        found[said["name"].rpartition("-")[2]] = (
            said["status"],
            (said.get("statusDetails") or {}).get("message", ""),
        )
    assert {name: status for name, (status, _) in found.items()} == {
        "bad": "skipped",
        "good": "passed",
        "infra": "broken",
        "refused": "broken",
        "plain": "failed",
        "fine": "passed",
    }
    assert found["bad"][1].startswith("XFAIL known")
    assert not [name for name in ("infra", "refused") if "XFAIL" in found[name][1]]


def test_the_report_log_says_the_same(project: Project) -> None:
    pytest.importorskip("pytest_reportlog")
    project.matrix(XFAILS.replace("STRICT", "false"))
    project.run("--report-log=log.jsonl")
    lines = map(json.loads, (project.path / "log.jsonl").read_text().splitlines())
    found: dict[str, set[str]] = {}
    for line in lines:
        if line["$report_type"] == "TestReport":
            word = line["outcome"] + (" by mark" if "wasxfail" in line else "")
            found.setdefault(line["nodeid"].rpartition("-")[2], set()).add(word)
    assert found == {
        "bad": {"passed", "skipped by mark"},
        "good": {"passed", "passed by mark"},
        "infra": {"passed", "failed"},
        "refused": {"passed", "failed"},
    }


def test_json_report_says_the_same(project: Project) -> None:
    pytest.importorskip("pytest_jsonreport")
    project.matrix(XFAILS.replace("STRICT", "false"))
    project.run("--json-report", "--json-report-file=other.json")
    tests = json.loads((project.path / "other.json").read_text())["tests"]
    assert {test["nodeid"].rpartition("-")[2]: test["outcome"] for test in tests} == EXPECTED


def test_html_says_the_same(project: Project) -> None:
    pytest.importorskip("pytest_html")
    project.matrix(XFAILS.replace("STRICT", "false"))
    project.run("--html=page.html")
    page = (project.path / "page.html").read_text()
    for word, number in {"error": 2, "xfailed": 1, "xpassed": 1, "failed": 0, "passed": 0}.items():
        assert f'class="{word}">{number} ' in page


def test_a_conftest_sees_the_report_as_it_will_be(project: Project) -> None:
    project.matrix(XFAILS.replace("STRICT", "false"))
    project.pytester.makeconftest(
        """
        import pytest
        @pytest.hookimpl(wrapper=True)
        def pytest_runtest_makereport(item, call):
            report = yield
            if report.when == "setup" and not report.passed:
                print("SEEN", item.name, report.outcome, hasattr(report, "wasxfail"), report.longreprtext[:30])
            return report
        """
    )
    project.run("-s").stdout.fnmatch_lines_random(["*SEEN a-1n-infra failed False matrices/m.yaml:*"])


@pytest.mark.parametrize("mark", ["dependency", "{dependency: {name: a-1n-first}}"])
def test_a_dependent_cell_is_reported_after_what_it_depends_on(project: Project, mark: str) -> None:
    pytest.importorskip("pytest_dependency")
    project.matrix(DEPENDENT.replace("RUN", "sleep 1").replace("MARK", mark))
    result = project.pytester.runpytest("-v")
    result.assert_outcomes(passed=2)
    assert result.ret == pytest.ExitCode.OK
    result.stdout.fnmatch_lines(["cells are reported in file order, which the mark 'dependency' needs"])


def test_a_cell_whose_dependency_failed_is_not_green(project: Project) -> None:
    pytest.importorskip("pytest_dependency")
    project.matrix(DEPENDENT.replace("RUN", "sleep 1; exit 1").replace("MARK", "dependency"))
    result = project.pytester.runpytest("--junitxml=report.xml")
    assert result.parseoutcomes() == {"failed": 1, "skipped": 1}
    assert table(result) == ["failed", "skipped, job passed"]
    verdicts = {
        cell["key"].rpartition("-")[2]: cell["verdict"] for cell in project.report("report.json")["cells"]
    }
    assert verdicts == {"first": "failed", "second": "not run"}
    assert junit(project) == {"a-1n-first": ["failure"], "a-1n-second": ["skipped"]}


def test_a_dependency_that_comes_too_late_is_no_green_either(project: Project) -> None:
    pytest.importorskip("pytest_dependency")
    project.matrix(
        """
        recipes: {a: "true"}
        nodes: [1]
        conditions:
          second: {marks: [{dependency: {depends: [a-1n-first]}}]}
          first: {marks: [dependency]}
        """
    )
    result = project.run()
    assert result.parseoutcomes() == {"passed": 1, "skipped": 1}
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert project.verdicts() == {"a-1n-first": "passed", "a-1n-second": "not run"}


def test_a_python_test_that_depends_on_a_cell_comes_after_it(project: Project) -> None:
    pytest.importorskip("pytest_dependency")
    project.ini("automark_dependency = true")
    project.matrix("{recipes: {a: sleep 1}, nodes: [1], conditions: {c: {}}}")
    project.pytester.makepyfile(
        test_z="""
        from pytest_dependency import depends
        def test_z(request): depends(request, ["matrices/m.yaml::a-1n-c"], scope="session")
        """
    )
    result = project.pytester.runpytest("matrices", "test_z.py")
    result.assert_outcomes(passed=2)


def test_marks_that_order_tests_are_respected(project: Project) -> None:
    pytest.importorskip("pytest_order")
    project.matrix(
        """
        recipes: {a: "true"}
        nodes: [1]
        conditions: {last: {marks: [{order: -1}]}, slow: {run: sleep 1}}
        """
    )
    result = project.pytester.runpytest("-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*a-1n-slow PASSED*", "*a-1n-last PASSED*", "*which the mark 'order' needs"])


def test_a_launch_says_pending_of_dependents_too(project: Project) -> None:
    pytest.importorskip("pytest_dependency")
    project.matrix(DEPENDENT.replace("RUN", "'true'").replace("MARK", "dependency"))
    launched = project.pytester.runpytest("--cluster-launch")
    assert launched.ret == pytest.ExitCode.OK
    assert set(project.verdicts().values()) == {None}
    checked = project.pytester.runpytest("--cluster-check", "--cluster-check-wait")
    checked.assert_outcomes(passed=2)
    assert checked.ret == pytest.ExitCode.OK
