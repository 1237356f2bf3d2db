"""report and rejudge: reports and verdicts are made again from the ledger alone."""

from __future__ import annotations

import json
import re
from typing import Any
from typing import TYPE_CHECKING

import pytest
from lxml import etree

from tests.cli.conftest import ENDS
from tests.cli.conftest import SLEEPERS
from tests.cli.conftest import until

if TYPE_CHECKING:
    from pathlib import Path

    from tests.cli.conftest import Place

TIMES_OF_WRITING = re.compile(r'^  "(ended|updated)": .*$', re.MULTILINE)


def cases(path: Path) -> dict[str, str]:
    """Each case of a JUnit file as text, by name."""
    tree = etree.parse(str(path))
    return {str(case.get("name")): etree.tostring(case).decode() for case in tree.iter("testcase")}


def counts(path: Path) -> tuple[str, ...]:
    (suite,) = etree.parse(str(path)).iter("testsuite")
    return tuple(str(suite.get(name)) for name in ("tests", "failures", "errors", "skipped"))


def words(path: Path) -> dict[str, str]:
    """The verdict of each case in JUnit's words."""
    tree = etree.parse(str(path))
    return {
        str(case.get("name")): next((str(part.tag) for part in case if part.tag != "properties"), "passed")
        for case in tree.iter("testcase")
    }


def test_the_json_report_is_the_same_but_for_times_of_writing(ended: Place, tmp_path: Path) -> None:
    ended.command("report", "--json", str(tmp_path / "again.json"))
    written = (ended.path / "report.json").read_text()
    again = (tmp_path / "again.json").read_text()
    assert TIMES_OF_WRITING.sub("", again) == TIMES_OF_WRITING.sub("", written)


def test_the_json_report_is_printed_where_no_path_is_given(ended: Place) -> None:
    assert json.loads(ended.command("report").stdout)["summary"]["failed"] == 2


def test_the_junit_report_is_the_same_case_by_case(ended: Place, tmp_path: Path) -> None:
    again = tmp_path / "again.xml"
    assert ended.command("report", "--junit", str(again)).returncode == 0
    assert counts(again) == counts(ended.path / "report.xml") == ("8", "2", "2", "2")
    assert cases(again) == cases(ended.path / "report.xml")


def test_the_junit_report_can_have_another_family(ended: Place, tmp_path: Path) -> None:
    again = tmp_path / "again.xml"
    ended.command("report", "--junit", str(again), "--junit-family", "xunit2")
    assert words(again) == words(ended.path / "report.xml")
    assert not list(etree.parse(str(again)).iter("property"))


def test_workers_leave_the_same_reports(place: Place) -> None:
    place.matrix(ENDS)
    place.pytest("-n2", "--junitxml=report.xml")
    place.command("report", "--junit", "again.xml")
    assert cases(place.path / "again.xml") == cases(place.path / "report.xml")


def test_the_project_s_junit_settings_are_stored_with_the_run(place: Place) -> None:
    place.matrix(ENDS)
    ini = ["-o", "junit_suite_name=night", "-o", "junit_duration_report=call", "-o", "junit_family=xunit1"]
    place.pytest("--junitxml=report.xml", "--junit-prefix=cluster", *ini)
    place.command("report", "--junit", "again.xml")
    assert cases(place.path / "again.xml") == cases(place.path / "report.xml")
    assert 'name="night"' in (place.path / "again.xml").read_text()


def test_the_reports_of_a_check_replace_those_of_the_launch(place: Place) -> None:
    place.matrix(ENDS)
    place.pytest("--cluster-launch")
    place.pytest("--cluster-check", "--cluster-check-wait", "--junitxml=report.xml")
    place.command("report", "--junit", "again.xml")
    assert cases(place.path / "again.xml") == cases(place.path / "report.xml")


@pytest.fixture
def killed(place: Place) -> Place:
    """A session that was killed with half of its cells reported; the other jobs live."""
    place.matrix(ENDS, "matrices/ends.yaml")
    place.matrix(SLEEPERS, "matrices/sleepers.yaml")
    process = place.start("--cluster-on-crash=keep", "--cluster-json=report.json")
    path = place.path / "report.json"
    until(lambda: path.exists() and pending(json.loads(path.read_text())) == 2 and place.asleep())
    process.kill()
    process.communicate()
    return place


def pending(report: dict[str, Any]) -> int:
    reported = sum(cell["reported"] is not None for cell in report["cells"])
    return int(report["summary"]["pending"]) if reported == 8 else -1


def test_after_kill_9_the_json_report_is_the_same(killed: Place) -> None:
    killed.command("report", "--json", "again.json")
    written = (killed.path / "report.json").read_text()
    assert TIMES_OF_WRITING.sub("", (killed.path / "again.json").read_text()) == TIMES_OF_WRITING.sub(
        "", written
    )


def test_after_kill_9_the_junit_report_has_every_cell(killed: Place) -> None:
    killed.command("report", "--junit", "again.xml")
    assert counts(killed.path / "again.xml") == ("10", "2", "2", "4")
    found = words(killed.path / "again.xml")
    assert (found["a-1n-good"], found["a-1n-bad"], found["a-1n-infra"]) == ("passed", "failure", "error")
    assert "not run: the session ended before its job did" in cases(killed.path / "again.xml")["s-1n-one"]


def test_a_verdict_that_pytest_did_not_report_is_in_the_junit_report(place: Place) -> None:
    place.matrix(ENDS)
    # In file order, a job that does not end holds the reports of all that come after it up.
    place.matrix(SLEEPERS, "matrices/a.yaml")
    process = place.start("--cluster-on-crash=keep", "--cluster-order=file", "--cluster-json=report.json")
    path = place.path / "report.json"
    until(lambda: path.exists() and json.loads(path.read_text())["summary"]["pending"] == 2)
    process.kill()
    process.communicate()
    place.command("report", "--junit", "again.xml")
    found = words(place.path / "again.xml")
    assert (found["a-1n-good"], found["a-1n-bad"], found["a-1n-infra"]) == ("passed", "failure", "error")
    assert (
        "a-1n-bad: expected job_completed exit 0, got job_failed exit 7"
        in cases(place.path / "again.xml")["a-1n-bad"]
    )


def verdicts(place: Place, *arguments: str) -> dict[str, tuple[str | None, str | None]]:
    found = place.read("rejudge", *arguments)
    return {
        cell["key"].rpartition("-")[2]: (cell["was"], cell["is"]) for cell in found if "-1n-" in cell["key"]
    }


def test_rejudging_by_the_launch_changes_nothing(ended: Place) -> None:
    done = ended.command("rejudge")
    assert done.returncode == 1
    assert "8 cells, 0 changed" in done.stdout


def test_rejudging_by_todays_file_uses_its_expectations(place: Place) -> None:
    place.matrix(ENDS)
    place.pytest()
    text = ENDS.replace("contains: [hello]", "contains: [goodbye]").replace(
        "exit 7'}", "exit 7', expect: {exit_code: 7}}"
    )
    place.matrix(text.replace("infra:", "other:"))
    assert verdicts(place) == {
        "good": ("passed", "passed"),
        "bad": ("failed", "failed"),
        "known": ("failed", "failed"),
        "infra": ("error", "error"),
    }
    assert verdicts(place, "--with-todays-file") == {
        "good": ("passed", "failed"),
        "bad": ("failed", "passed"),
        "known": ("failed", "failed"),
        "infra": ("error", None),
    }
    assert "the matrix no longer has this cell" in place.command("rejudge", "--with-todays-file").stderr


def test_rejudging_reports_missing_logs(place: Place) -> None:
    place.matrix(ENDS)
    place.pytest("-k", "1n-good")
    for path in place.path.rglob("*.log"):
        path.unlink()
    (place.folder / "local" / "journal.jsonl").unlink()
    done = place.command("rejudge")
    assert done.returncode == 1
    assert "its logs cannot be read to their end" in done.stderr
    assert verdicts(place)["good"] == ("passed", "error")


def test_an_error_in_todays_file_is_one_line(place: Place) -> None:
    place.matrix(ENDS)
    place.pytest("-k", "1n-good")
    place.matrix(ENDS.replace("nodes:", "node:"))
    done = place.command("rejudge", "--with-todays-file")
    assert done.returncode == 3
    assert done.stderr.startswith("clusterjobs: matrices/m.yaml:4:1: ")
