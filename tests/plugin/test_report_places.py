"""Where the JSON report goes: never over anybody's file, never in the place of a device, a FIFO or a link."""

from __future__ import annotations

import errno
import json
import os
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any
from typing import TYPE_CHECKING

import pytest
from lxml import etree

from pytest_clusterjobs.reports.place import write

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

MATRIX = '{recipes: {a: "true"}, nodes: [1], conditions: {c: {}}}'

PYTEST = f"{sys.executable} -m pytest --cluster-backend=spy -p no:cacheprovider"


@pytest.fixture
def one(project: Project) -> Project:
    """A project with one cell."""
    project.matrix(MATRIX)
    return project


def shell(project: Project, command: str) -> subprocess.CompletedProcess[str]:
    """Run a command line of bash in the project."""
    return subprocess.run(
        ["bash", "-c", command], cwd=project.path, capture_output=True, text=True, check=False, timeout=60
    )


def is_report(path: Path) -> bool:
    report: dict[str, Any] = json.loads(path.read_text())
    return bool(report["generator"]["name"] == "pytest-clusterjobs" and report["summary"]["passed"] == 1)


def in_run(project: Project) -> bool:
    (path,) = project.path.glob(".clusterjobs/runs/*/report.json")
    return is_report(path)


def test_a_device_stays_a_device(one: Project) -> None:
    null = one.path / "null"
    os.mknod(null, stat.S_IFCHR | 0o666, os.makedev(1, 3)) if os.geteuid() == 0 else null.symlink_to(
        "/dev/null"
    )
    one.run(f"--cluster-json={null}").assert_outcomes(passed=1)
    assert stat.S_ISCHR(null.stat().st_mode)
    assert not list(one.path.glob("*.tmp"))


def test_standard_output_takes_one_report_on_lines_of_its_own(one: Project) -> None:
    for name in ("-", "/dev/stdout", "/dev/fd/1"):
        done = shell(one, f"echo before > out; {PYTEST} --cluster-json={name} >> out; echo $? >> out")
        text = (one.path / "out").read_text()
        assert text.startswith("before\n") and text.endswith("\n0\n"), (text, done.stderr)
        assert text.count('"format_version"') == 1
        (one.path / "cut.json").write_text(text[text.index("\n{\n") : text.index("\n}\n") + 3])
        assert is_report(one.path / "cut.json")


def test_a_process_substitution_is_fed(one: Project) -> None:
    done = shell(
        one, f"{PYTEST} --cluster-json=>(sleep 0.2; cat > got) --junitxml=>(cat > got.xml); wait; sleep 0.5"
    )
    assert "passed" in done.stdout, done.stdout + done.stderr
    assert is_report(one.path / "got")
    etree.parse(str(one.path / "got.xml"))


def test_a_fifo_is_fed_once(one: Project) -> None:
    os.mkfifo(one.path / "pipe")
    done = shell(one, f"cat pipe > got & {PYTEST} --cluster-json=pipe; echo $?; wait")
    assert done.stdout.endswith("\n0\n"), done.stdout
    assert (one.path / "pipe").is_fifo()
    assert is_report(one.path / "got")


def test_a_fifo_that_nobody_reads_is_told_and_not_waited_for_for_ever(
    one: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pytest_clusterjobs.reports.place.READER_TIMEOUT_SECONDS", 0.1)
    os.mkfifo(one.path / "pipe")
    result = one.run("--cluster-json=pipe")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(
        ["cannot write */pipe: it has no reader", "*the report could not be written*"]
    )


def test_a_link_stays_a_link_and_its_target_is_replaced(one: Project) -> None:
    (one.path / "real").mkdir()
    (one.path / "link.json").symlink_to("real/report.json")
    one.run("--cluster-json=link.json").assert_outcomes(passed=1)
    assert (one.path / "link.json").is_symlink()
    assert is_report(one.path / "real" / "report.json")
    one.run("--cluster-json=link.json").assert_outcomes(passed=1)
    assert (one.path / "link.json").is_symlink()


def test_a_mounted_file_that_cannot_be_replaced_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a container has it."""

    def busy(source: Path, target: Path) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(os, "replace", busy)
    with pytest.raises(OSError, match="busy"):
        write(tmp_path / "new.json", b"report")
    (tmp_path / "old.json").write_bytes(b"a longer report")
    write(tmp_path / "old.json", b"report")
    assert (tmp_path / "old.json").read_bytes() == b"report"
    assert [path.name for path in tmp_path.iterdir()] == ["old.json"]


def test_none_is_no_file_and_tilde_is_home(one: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(one.path / "home"))
    monkeypatch.setenv("NIGHT", "monday")
    one.run("--cluster-json=none").stdout.no_fnmatch_line("report: *")
    assert not list(one.path.rglob("*.json"))
    assert not (one.path / "none").exists()
    one.run("--cluster-json=~/$NIGHT.json").assert_outcomes(passed=1)
    assert is_report(one.path / "home" / "monday.json")


@pytest.mark.parametrize("xml", ["/dev/null", "/dev/fd/2", "/dev/stderr"])
def test_nothing_is_put_beside_a_device_that_takes_the_junit_report(one: Project, xml: str) -> None:
    done = shell(one, f"{PYTEST} --junitxml={xml} 2>&1")
    assert done.returncode == 0, done.stdout
    assert in_run(one)
    assert not Path(xml).with_suffix(".json").exists()


@pytest.mark.parametrize(
    ("plugin", "arguments", "field"),
    [
        ("pytest_reportlog", ["--report-log=report.json"], '"$report_type"'),
        ("pytest_jsonreport", ["--json-report", "--json-report-file=./report.json"], '"collectors"'),
    ],
)
def test_a_plugin_that_writes_to_the_name_beside_the_junit_report_keeps_it(
    one: Project, plugin: str, arguments: list[str], field: str
) -> None:
    pytest.importorskip(plugin)
    for _ in range(2):
        result = one.run("--junitxml=report.xml", *arguments)
        result.assert_outcomes(passed=1)
        result.stdout.fnmatch_lines(["report: report.clusterjobs.json"])
        assert field in (one.path / "report.json").read_text()
        assert is_report(one.path / "report.clusterjobs.json")


def test_a_junit_report_that_is_called_json(one: Project) -> None:
    result = one.run("--junitxml=report.json")
    result.stdout.fnmatch_lines(["report: report.clusterjobs.json"])
    etree.parse(str(one.path / "report.json"))
    assert is_report(one.path / "report.clusterjobs.json")


def test_a_file_that_is_not_ours_is_left_where_nobody_named_it(one: Project) -> None:
    (one.path / "report.json").write_text('{"somebody": "else"}')
    (one.path / "report.clusterjobs.json").write_text("notes")
    one.run("--junitxml=report.xml").stdout.fnmatch_lines(["report: .clusterjobs/runs/*/report.json"])
    assert (one.path / "report.json").read_text() == '{"somebody": "else"}'
    assert (one.path / "report.clusterjobs.json").read_text() == "notes"


def test_an_earlier_report_of_ours_is_replaced_however_it_was_laid_out(one: Project) -> None:
    one.run("--junitxml=report.xml").assert_outcomes(passed=1)
    path = one.path / "report.json"
    for indent in (None, 4):
        path.write_text(json.dumps(json.loads(path.read_text()), indent=indent))
        one.run("--junitxml=report.xml").stdout.fnmatch_lines(["report: report.json"])


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("notes.txt", "is not a JSON report of pytest-clusterjobs and is not overwritten"),
        ("matrices/m.yaml", "is not a JSON report of pytest-clusterjobs and is not overwritten"),
        ("matrices", "is a folder"),
        ("loop", "is a link that leads back to itself"),
        ("report.xml", "is what another option (xmlpath) names too"),
    ],
)
def test_a_file_that_was_named_and_is_not_ours_is_refused_before_a_job_is_spent(
    one: Project, name: str, words: str
) -> None:
    (one.path / "notes.txt").write_text("mine")
    (one.path / "loop").symlink_to("loop")
    result = one.run("--junitxml=report.xml", f"--cluster-json={name}")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    (line,) = [line for line in result.errlines if line.startswith("ERROR: ")]
    assert words in line
    assert not one.submitted()
    assert (one.path / "notes.txt").read_text() == "mine"


def test_a_file_that_somebody_else_takes_meanwhile_is_not_overwritten(one: Project) -> None:
    one.pytester.makeconftest(
        "def pytest_runtest_teardown(item):\n    open(item.config.rootpath / 'report.json', 'w').write('mine')\n"
    )
    result = one.run("--cluster-json=report.json")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    result.stdout.fnmatch_lines(["cannot write */report.json: another program has written to it meanwhile"])
    assert (one.path / "report.json").read_text() == "mine"
