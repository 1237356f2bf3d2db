"""The example of a wrapper that always exits with 0: its output is read, and no failure passes by mistake."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.judge import outcome
from pytest_clusterjobs.matrix import load_matrix
from pytest_clusterjobs.matrix import MatrixErrors
from pytest_clusterjobs.model import Cell
from pytest_clusterjobs.model import Classification
from pytest_clusterjobs.model import LogChunk
from pytest_clusterjobs.model import NodeState
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Outcome
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model import Source

ROOT = Path(__file__).parents[2]
MATRICES = ROOT / "matrices"
MATRIX = MATRICES / "examples" / "existing_wrapper.yaml"
FAILURES = {"heartbeat_timeout", "runtime_timeout", "cmd_fails", "worker_fails"}
CONDITIONS = FAILURES | {"normal_completion", "restart_recovers"}


@pytest.fixture(scope="module")
def cell() -> Cell:
    return next(iter(load_matrix(MATRIX, rootdir=ROOT, site=Site()).cells))


def wrapped(command: str, rank: str = "0", **env: str) -> tuple[int, str]:
    """Run a shell command under the wrapper; returns the exit code and the log, byte for byte."""
    run = subprocess.run(
        [sys.executable, str(MATRICES / "programs" / "wrapper.py"), "sh", "-c", command],
        check=False,
        env=os.environ | {"CLUSTERJOBS_NODE_RANK": rank, "CLUSTERJOBS_HEARTBEAT_FILE": ""} | env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=30,
    )
    return run.returncode, run.stdout.decode()


def end_of(cell: Cell, *logs: str, code: int = 0, rules: Classification | None = None) -> Outcome:
    """The outcome of a job whose ranks all exit with ``code``."""
    nodes = tuple(
        NodeState(rank, report=SentinelReport(SentinelWord.EXITED, rank, code)) for rank in range(len(logs))
    )
    return outcome(
        replace(cell.spec, nodes=len(logs)),
        Observation(Phase.ENDED, native_state="SUCCEEDED", exit_code=code, nodes=nodes),
        action=None,
        classification=cell.classify if rules is None else rules,
        log=lambda rank: LogChunk(logs[rank], complete=True),
    )


def summary(reason: str, code: object = 0) -> str:
    return (
        f"[SUMMARY] Restart Count: 0\n[SUMMARY] Exit code: {code}\n[SUMMARY] Termination reason: {reason}\n"
    )


def test_the_wrapper_prints_lines_as_in_a_clusters_log() -> None:
    code, log = wrapped("exit 3")
    assert code == 0
    assert re.search(
        r"\x1b\[36m\(head, rank=0, pid=\d+\)\x1b\[0m \x1b\[1m\[SUMMARY\] Exit code: 3\x1b\[0m\r\n", log
    )
    _, log = wrapped("exit 3", rank="1")
    assert re.search(r"\(worker1, rank=1, pid=\d+, ip=10\.0\.0\.1\)", log)


@pytest.mark.parametrize(
    ("command", "env", "reason", "exit_code", "restarts"),
    [
        ("true", {}, "job_completed", 0, 0),
        ("exit 3", {}, "job_failed", 3, 0),
        ("kill -KILL $$", {}, "job_failed", 137, 0),
        ("exit 3", {"MAX_RESTARTS": "2"}, "job_failed", 3, 2),
        ("[ $CLUSTERJOBS_RESTARTS = 1 ]", {"MAX_RESTARTS": "9"}, "job_completed", 0, 1),
        ("exec sleep 60", {"HEARTBEAT_TIMEOUT": "0.2"}, "heartbeat_timeout", None, 0),
        ("exec sleep 60", {"MAX_RUNTIME": "0.2", "MAX_RESTARTS": "9"}, "max_runtime_reached", None, 0),
    ],
)
def test_every_end_is_read_by_the_rules_and_is_green_without_them(
    cell: Cell, command: str, env: dict[str, str], reason: str, exit_code: int | None, restarts: int
) -> None:
    code, log = wrapped(command, **{f"WRAPPER_{name}": value for name, value in env.items()})
    assert code == 0
    end = end_of(cell, log)
    assert (end.reason, end.exit_code, end.restarts) == (reason, exit_code, restarts)
    trap = end_of(cell, log, rules=Classification())
    assert (trap.reason, trap.exit_code, trap.source) == ("job_completed", 0, Source.SENTINEL)


def test_a_heartbeat_postpones_the_heartbeat_timeout(cell: Cell, tmp_path: Path) -> None:
    file = tmp_path / "heartbeat"
    _, log = wrapped(
        'for beat in 1 2 3 4 5 6; do touch "$CLUSTERJOBS_HEARTBEAT_FILE"; sleep 0.5; done',
        CLUSTERJOBS_HEARTBEAT_FILE=str(file),
        WRAPPER_HEARTBEAT_TIMEOUT="2",
    )
    assert end_of(cell, log).reason == "job_completed"


def test_a_command_that_ignores_TERM_is_killed(cell: Cell) -> None:
    _, log = wrapped("trap '' TERM; exec sleep 60", WRAPPER_MAX_RUNTIME="0.2")
    assert end_of(cell, log).reason == "max_runtime_reached"


def test_a_wrapper_without_a_command_exits_with_an_error() -> None:
    run = subprocess.run(
        [sys.executable, str(MATRICES / "programs" / "wrapper.py")],
        check=False,
        capture_output=True,
        text=True,
    )
    assert (run.returncode, run.stderr) == (1, "wrapper: no command given\n")


@pytest.mark.parametrize("code", [1, 3, 137])
@pytest.mark.parametrize("log", [summary("job_completed"), summary("job_completed", code=3), "all is well\n"])
def test_no_line_makes_another_code_than_0_green(cell: Cell, code: int, log: str) -> None:
    assert end_of(cell, log, code=code).reason != "job_completed"
    assert end_of(cell, log, summary("job_completed"), code=code).reason != "job_completed"


def test_a_word_that_is_not_a_reason_is_quoted(cell: Cell) -> None:
    end = end_of(cell, summary("sun\x07spots"))
    assert (end.reason, end.source) == ("unknown", Source.CLASSIFY_RULE)
    assert end.detail.startswith(r'the log reports "sun\x07spots", and "sun\x07spots" is not a known reason')


@pytest.mark.parametrize(
    "log",
    [
        pytest.param("", id="no log"),
        pytest.param("done steps=30\n", id="no summary"),
        pytest.param("========= Job Summary =========\nTermination Reason:  unknown\n", id="another format"),
        pytest.param(
            summary("job_completed") + "[SUMMARY] Termination reason: \n", id="an empty word at last"
        ),
        pytest.param(summary("job_completed") + summary("job_completed", code=""), id="no code at last"),
        pytest.param(
            summary("job_completed") + summary("job_completed", code="-"), id="a code that is not a number"
        ),
        pytest.param(
            summary("job_completed(worker1, rank=1, pid=7) step=3"), id="a glued line of another rank"
        ),
    ],
)
def test_a_summary_that_cannot_be_read_is_never_green(cell: Cell, log: str) -> None:
    for logs in ([log], [summary("job_completed"), log], [log, summary("job_completed")]):
        assert end_of(cell, *logs).reason == "unknown"


@pytest.mark.parametrize(
    ("before", "last", "reason"),
    [
        (summary("unknown", 4), summary("job_completed"), "job_completed"),
        (summary("job_completed"), summary("unknown", 4), "job_failed"),
        (summary("job_completed"), summary("heartbeat_timeout"), "heartbeat_timeout"),
    ],
)
def test_the_last_summary_counts(cell: Cell, before: str, last: str, reason: str) -> None:
    assert end_of(cell, before + "step=1\n" + last).reason == reason


def variant(*, rules: bool, expectations: bool) -> str:
    """The example, with or without its rules."""
    document: dict[str, Any] = yaml.safe_load(MATRIX.read_text())
    if not rules:
        del document["classify"], document["translate"]
    if not expectations:
        for condition in document["conditions"].values():
            condition.pop("expect")
    text: str = yaml.safe_dump(document, sort_keys=False)
    return text


def rejudged(folder: Path) -> tuple[int, dict[str, str]]:
    """The exit code of ``clusterjobs rejudge`` by the file as it is now, and each condition's verdict."""
    run = subprocess.run(
        [sys.executable, "-m", "pytest_clusterjobs.cli", "rejudge", "--with-todays-file", "--json"],
        check=False,
        cwd=folder,
        capture_output=True,
        text=True,
    )
    cells: list[dict[str, str]] = json.loads(run.stdout)
    return run.returncode, {cell["key"].rpartition("-")[2]: cell["is"] for cell in cells}


def test_jobs_that_all_exit_with_0_are_green_without_the_rules_and_not_with_them(
    pytester: pytest.Pytester,
) -> None:
    shutil.copytree(MATRICES / "programs", pytester.path / "matrices" / "programs")
    matrix = pytester.path / "matrices" / "m.yaml"

    matrix.write_text(variant(rules=False, expectations=False))
    trap = pytester.runpytest_subprocess("matrices", "-k", "2n")
    trap.assert_outcomes(passed=len(CONDITIONS))

    matrix.write_text(variant(rules=True, expectations=False))
    verdicts = {name: "failed" if name in FAILURES else "passed" for name in CONDITIONS}
    assert rejudged(pytester.path) == (1, verdicts)

    matrix.write_text(MATRIX.read_text())
    assert rejudged(pytester.path) == (0, dict.fromkeys(CONDITIONS, "passed"))


def test_missing_rules_are_an_error_at_collection(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(variant(rules=False, expectations=True))
    with pytest.raises(MatrixErrors, match="heartbeat_timeout can never be the reason"):
        load_matrix(path, rootdir=tmp_path, site=Site())
