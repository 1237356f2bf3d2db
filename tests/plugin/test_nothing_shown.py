"""Jobs that have shown nothing, or cannot be believed, on the local backend: none of them is green."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

# A command that dies of the signal was stopped from outside, one that comes through ends by itself.
NO_LIMIT = ("error", "unknown"), ("failed", "job_failed")

# What each cell runs and expects, and the verdict and reason that it must get.
CELLS = {
    # Our own lines are not the job's.
    "own-line-rule": (
        "run: 'echo \"wrapper finished: exit_code=7\"; exit 0', "
        "classify: [{log: 'exit_code=(?P<exit_code>\\d+)'}]",
        ("failed", "job_failed"),
    ),
    "own-line-contains": (
        "run: 'true', expect: {log: {contains: ['exit_code=0']}}",
        ("failed", "job_completed"),
    ),
    "own-line-begun": ("run: 'true', expect: {log: {contains: ['begun']}}", ("failed", "job_completed")),
    "own-line-metric": (
        "run: 'true', expect: {metrics: {beats: {pattern: 'heartbeats={number}', min: 0}}}",
        ("failed", "job_completed"),
    ),
    "own-line-excludes": (
        "run: 'true', expect: {log: {excludes: ['clusterjobs']}}",
        ("passed", "job_completed"),
    ),
    # A log that is opened again is appended to.
    "stderr-appends": (
        "run: 'echo FAILED: 3 tests; echo done > /dev/stderr', expect: {log: {excludes: [FAILED]}}",
        ("failed", "job_completed"),
    ),
    "tee-appends": (
        "run: 'echo FAILED: 3 tests; echo done | tee /dev/stderr', expect: {log: {excludes: [FAILED]}}",
        ("failed", "job_completed"),
    ),
    # A log that has lost its beginning decides nothing, and costs nothing where nobody reads it.
    "log-truncated": (
        "run: 'echo FAILED; sleep 0.3; : > $LOG; echo fine', expect: {log: {excludes: [FAILED]}}",
        ("error", "job_completed"),
    ),
    "log-truncated-rule": (
        "run: 'echo summary: job_failed; sleep 0.3; : > $LOG', classify: [{log: 'summary: (?P<reason>\\w+)'}]",
        ("error", "unknown"),
    ),
    "log-truncated-unread": (
        "run: 'sleep 0.3; : > $LOG; exit 3', expect: {exit_code: 3}",
        ("passed", "job_failed"),
    ),
    "log-removed": ("run: 'sleep 0.3; rm $LOG', expect: {log: {excludes: [x]}}", ("error", "unknown")),
    "log-fifo": ("run: 'sleep 0.3; rm $LOG; mkfifo $LOG'", ("error", "unknown")),
    "log-folder": ("run: 'sleep 0.3; rm $LOG; mkdir $LOG'", ("error", "unknown")),
    "log-link": ("run: 'sleep 0.3; ln -sf /dev/zero $LOG'", ("error", "unknown")),
    "log-own-link": ("run: 'sleep 0.3; rm $LOG; ln -s $LOG $LOG'", ("error", "unknown")),
    # A rank whose sentinel died has shown nothing.
    "dead-sentinel": (
        "run: 'sleep 0.2; kill -9 $PPID; sleep 0.3; exit 137', expect: {exit_code: 137}",
        ("error", "unknown"),
    ),
    "dead-sentinel-any": (
        "run: 'sleep 0.2; kill -9 $PPID; sleep 0.3', expect: {reason: any}",
        ("error", "unknown"),
    ),
    "dead-sentinel-signal": (
        "run: 'sleep 0.2; kill -9 $PPID; sleep 0.3', expect: {reason: killed_by_signal}",
        ("error", "unknown"),
    ),
    "dead-sentinel-rule": (
        "run: 'echo reason job_failed; sleep 0.2; kill -9 $PPID; sleep 0.3', expect: {reason: job_failed}, "
        "classify: [{log: 'reason (?P<reason>\\w+)'}]",
        ("error", "unknown"),
    ),
    # Signals are no limits.
    "usr1-no-limit": (
        "run: 'kill -USR1 $PPID; sleep 1; exit 5', heartbeat_timeout: 10s, "
        'expect: {reason: heartbeat_timeout, heartbeats: ">=0"}',
        NO_LIMIT,
    ),
    "usr2-no-limit": (
        "run: 'kill -USR2 $PPID; sleep 1; exit 5', expect: {reason: max_runtime_reached}",
        NO_LIMIT,
    ),
    "alrm-no-limit": ("run: 'kill -ALRM $PPID; sleep 30', expect: {reason: any}", ("error", "unknown")),
    "usr1-handled": (
        "run: 'trap \"echo saved; exit 0\" USR1; kill -USR1 $PPID; while :; do sleep 0.1; done'",
        ("passed", "job_completed"),
    ),
    # The command never began.
    "setup-limit": (
        "run: 'true', setup: sleep 30, max_runtime: 1s, expect: {reason: max_runtime_reached}",
        ("error", "start_failed"),
    ),
    "setup-exits": ("run: exit 3, setup: exit 0", ("error", "start_failed")),
    "setup-nonzero": ("run: 'true', setup: exit 3, expect: {exit_code: nonzero}", ("error", "start_failed")),
    "noexec": ("run: exit 3, env: {SHELLOPTS: noexec}", ("error", "start_failed")),
    "no-workdir": ("run: 'true', workdir: nosuch, expect: {exit_code: 126}", ("error", "start_failed")),
    # What setup sets up is there.
    "setup-reaches": (
        "setup: 'export A=1; cd /; f() { echo from setup; }', run: 'f; [ \"$A$PWD\" = 1/ ]', "
        "expect: {log: {contains: ['from setup']}}",
        ("passed", "job_completed"),
    ),
}


@pytest.fixture
def matrix(project: Project) -> Project:
    lines = [
        "recipes: {a: 'true'}",
        "nodes: [1]",
        "defaults: {max_runtime: 20s, grace_period: 1s}",
        "conditions:",
    ]
    log = "LOG=$(readlink -f /proc/$PPID/fd/1); "
    for name, (fragment, _) in CELLS.items():
        found = fragment.replace("run: '", f"run: '{log}", 1) if "$LOG" in fragment else fragment
        lines.append(f"  {name}: {{{found}}}")
    project.matrix(textwrap.dedent("\n".join(lines)) + "\n")
    return project


def test_no_job_that_has_shown_nothing_is_green(matrix: Project) -> None:
    result = matrix.run("--cluster-backend=local", "--cluster-json=report.json", "-q")
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    cells = matrix.report("report.json")["cells"]
    seen = {
        cell["key"].partition("::a-1n-")[2]: (
            cell["verdict"],
            cell["result"]["outcome"]["reason"],
            cell["result"]["outcome"]["detail"],
        )
        for cell in cells
    }
    wrong = {
        name: seen.get(name)
        for name, (_, wanted) in CELLS.items()
        if seen.get(name, ())[:2] not in (wanted if wanted is NO_LIMIT else (wanted,))
    }
    assert not wrong
