"""``open_backend``: the same run without pytest, as a script has it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_clusterjobs import JobSpec
from pytest_clusterjobs import open_backend
from pytest_clusterjobs import Reason
from pytest_clusterjobs.backends.registry import InvalidSettings
from pytest_clusterjobs.backends.registry import SiteError
from tests.plugin.test_leaks import of_project
from tests.plugin.test_leaks import until

if TYPE_CHECKING:
    from tests.plugin.conftest import Project


def test_submit_wait_and_a_report(tmp_path: Path) -> None:
    with open_backend("local", rootdir=tmp_path, slots=2) as backend:
        first, second = backend.submit("echo one"), backend.submit(JobSpec("exit 4", nodes=2))
        assert second.wait(30).exit_code == 4
        assert first.wait(30).reason == Reason.JOB_COMPLETED
        assert first.logs().startswith("one\n")
        left = backend.submit("sleep 600")
    assert left.key == "open_backend(local)::job.3"
    (report,) = tmp_path.glob(".clusterjobs/runs/*/report.json")
    cells = json.loads(report.read_text())["cells"]
    assert [cell["verdict"] for cell in cells] == ["passed", "passed", "not run"]
    until(lambda: not of_project(tmp_path), 10)


def test_names_and_settings_are_the_projects(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.clusterjobs.backends.mine]\ntype = "local"\nslots = 1\n')
    with open_backend("mine", rootdir=tmp_path) as backend:
        with pytest.raises(ValueError, match="2 nodes"):
            backend.submit("true", nodes=2)
        assert backend.run("true", timeout=30).exit_code == 0


@pytest.mark.parametrize(
    ("name", "settings", "words"),
    [
        ("lokal", {}, "unknown backend 'lokal', did you mean 'local'?"),
        ("local", {"slot": 3}, r"open_backend\('local'\).*unknown setting 'slot', did you mean 'slots'?"),
    ],
)
def test_what_cannot_be_opened(tmp_path: Path, name: str, settings: dict[str, int], words: str) -> None:
    with pytest.raises(SiteError, match=words), open_backend(name, rootdir=tmp_path, **settings):
        pass
    assert not (tmp_path / ".clusterjobs").exists()


def test_an_invalid_argument_has_no_line_of_pyproject(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text('[tool.clusterjobs.backends.mine]\ntype = "local"\nslots = 1\n')
    with pytest.raises(
        InvalidSettings, match=r"^open_backend\('mine'\): \[tool\.clusterjobs\.backends\.mine\]: slots"
    ):
        open_backend("mine", rootdir=tmp_path, slots=0)


def test_without_a_block_it_says_how(tmp_path: Path) -> None:
    with pytest.raises(AttributeError, match=r"with open_backend\('local'\) as backend: backend\.submit"):
        open_backend(rootdir=tmp_path).submit("true")


def test_wrong_arguments_are_refused_at_the_call(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="unknown setting 'slot'"):
        open_backend("local", rootdir=str(tmp_path), slot=3)
    with pytest.raises(TypeError, match="name: expected a text"):
        open_backend(3)  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="rootdir: expected a path, not 3"):
        open_backend(rootdir=3)  # type: ignore[arg-type]
    with pytest.raises(NotADirectoryError):
        open_backend(rootdir=tmp_path / "no")


def test_nothing_is_submitted_after_the_block(tmp_path: Path) -> None:
    with open_backend(rootdir=tmp_path) as backend:
        pass
    with pytest.raises(RuntimeError, match=r"open_backend\(local\) has ended"):
        backend.submit("true")


def test_an_unmet_expectation_ends_the_block(tmp_path: Path) -> None:
    with (
        pytest.raises(AssertionError, match="expected job_completed exit 0, got job_failed exit 3") as raised,
        open_backend(rootdir=tmp_path) as backend,
    ):
        backend.submit("exit 3", expect={})
    assert "run it again" not in str(raised.value)  # pytest cannot run a script's block
    with pytest.raises(KeyError), open_backend(rootdir=tmp_path) as backend:
        backend.submit("exit 3", expect={})
        raise KeyError


SCRIPT = """
from pytest_clusterjobs import open_backend
with open_backend() as backend:
    job = backend.submit("echo up; exec sleep 600", grace_period=1)
    job.wait()
"""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_script_that_dies_leaves_nothing_running(project: Project, number: signal.Signals) -> None:
    process = subprocess.Popen([sys.executable, "-c", SCRIPT], cwd=project.path, stderr=subprocess.DEVNULL)
    logs = project.path / ".clusterjobs"
    until(lambda: any("up" in path.read_text() for path in logs.glob("runs/*/local/logs/*.log")), 30)
    process.send_signal(number)
    process.wait(30)
    until(lambda: not of_project(project.path), 10)
