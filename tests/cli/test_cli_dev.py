"""``clusterjobs dev aws-batch``, used from two terminals."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pytest_clusterjobs.backends.aws_batch.settings import AwsBatchSettings
from tests.devclusters.aws_batch.batch_user import processes

COMMAND = [sys.executable, "-m", "pytest_clusterjobs.cli", "dev", "aws-batch"]
LAST = "# Ctrl-C stops it and all of its jobs"
USER = """
import boto3
batch = boto3.client("batch")
job = batch.submit_job(jobName="mine", jobQueue="local", jobDefinition="local")["jobId"]
(seen,) = batch.describe_jobs(jobs=[job])["jobs"]
print(seen["jobName"], seen["container"]["environment"])
"""


def introduction(command: subprocess.Popen[str]) -> str:
    """What is printed once it runs."""
    lines: list[str] = []
    while not lines or lines[-1] != LAST:
        assert command.stdout is not None
        line = command.stdout.readline()
        assert line, "it ended"
        lines.append(line.rstrip("\n"))
    return "\n".join(lines)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_output_is_all_that_a_shell_needs(
    tmp_path: Path, number: signal.Signals, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "the-persons-own")
    folder = tmp_path / "its own"
    argv = [*COMMAND, "--folder", str(folder), "--env", "CHECKPOINT_DIR=/shared"]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as command:
        output = introduction(command)
        (tmp_path / "user.py").write_text(USER)
        script = f'{output}\nexec "$0" "$1"'
        user = ["sh", "-euc", script, sys.executable, str(tmp_path / "user.py")]
        done = subprocess.run(user, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, done.stdout) == (
            0,
            "mine [{'name': 'CHECKPOINT_DIR', 'value': '/shared'}]\n",
        ), done.stderr
        command.send_signal(number)
        assert command.wait(60) == 0
    assert "without any isolation" in output
    assert processes(str(folder)) == []
    site = tomllib.loads("\n".join(re.findall("^#   (.*)", output, re.M)))["tool"]["clusterjobs"]["backends"]
    ((_, settings),) = site.items()
    assert settings.pop("type") == "aws-batch"
    assert AwsBatchSettings(**settings).queue == "local"


def test_an_error_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    argv = [*COMMAND, "--folder", str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr == f"clusterjobs: {tmp_path} is not empty\n"
