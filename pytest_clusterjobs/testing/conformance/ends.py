"""How a command ends, and what the backend reports about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ...model import Outcome
from ...model import Phase
from ...model import Reason
from ...model import ReasonClass
from ..cluster import Cluster
from .base import need_shared
from .base import Suite

_FORCED_REASONS = (
    Reason.OUT_OF_MEMORY,
    Reason.PREEMPTED,
    Reason.NODE_FAILED,
    Reason.DEPENDENCY_FAILED,
    Reason.MAX_RUNTIME_REACHED,
    Reason.CANCELLED,
    Reason.LOST,
)


class EndTests(Suite):
    """Exit codes, signals, failures before the command, and ends that must be provoked."""

    @pytest.mark.parametrize(
        ("code", "reason"),
        [
            (0, Reason.JOB_COMPLETED),
            (1, Reason.JOB_FAILED),
            (3, Reason.JOB_FAILED),
            (124, Reason.JOB_FAILED),
            (125, Reason.JOB_FAILED),
            (126, Reason.JOB_FAILED),
            (127, Reason.JOB_FAILED),
            (137, Reason.KILLED_BY_SIGNAL),
            (255, Reason.JOB_FAILED),
        ],
    )
    def test_an_exit_code_is_reported(self, cluster: Cluster, code: int, reason: Reason) -> None:
        _assert_ended(cluster.run(f"exit {code}"), reason, code)

    @pytest.mark.parametrize("signal", [6, 9, 11, 15])
    def test_a_signal_is_128_and_its_number(self, cluster: Cluster, signal: int) -> None:
        _assert_ended(cluster.run(f"kill -{signal} $$"), Reason.KILLED_BY_SIGNAL, 128 + signal)

    def test_every_node_reports_its_code(self, cluster: Cluster) -> None:
        job = cluster.submit("exit 3")
        observation = cluster.reported(job, cluster.wait(job))
        report = observation.nodes[0].report
        code = observation.nodes[0].exit_code if report is None else report.exit_code
        assert code == 3

    def test_the_cluster_s_own_code_does_not_hide_a_failure(self, cluster: Cluster) -> None:
        job = cluster.submit("exit 3")
        assert cluster.wait(job).exit_code in (3, None)

    def test_bash_stops_at_a_failure_within_a_pipe(self, cluster: Cluster) -> None:
        _assert_ended(cluster.run("false | cat; echo not reached"), Reason.JOB_FAILED, 1)

    def test_sh_stops_at_a_failure(self, cluster: Cluster) -> None:
        _assert_ended(cluster.run("false; echo not reached", shell="sh"), Reason.JOB_FAILED, 1)

    def test_an_unknown_command_is_the_product_s_failure(self, cluster: Cluster) -> None:
        _assert_ended(cluster.run("no-such-command-anywhere"), Reason.JOB_FAILED, 127)

    def test_a_command_that_reads_its_input_finds_none(self, cluster: Cluster) -> None:
        _assert_ended(cluster.run("cat; exit 3"), Reason.JOB_FAILED, 3)

    def test_setup_comes_before_the_command(self, cluster: Cluster) -> None:
        job = cluster.submit("echo second", setup="echo first on $CLUSTERJOBS_NODE_RANK")
        _assert_ended(cluster.end(job), Reason.JOB_COMPLETED, 0)
        lines = [line for line in cluster.printed(job) if line in ("first on 0", "second")]
        assert lines == ["first on 0", "second"]

    def test_a_failing_setup_is_a_failed_start(self, cluster: Cluster) -> None:
        job = cluster.submit("echo reached", setup="exit 7")
        assert cluster.end(job).reason == Reason.START_FAILED
        assert "reached" not in cluster.printed(job)

    def test_setup_reaches_the_command(self, cluster: Cluster) -> None:
        setup = "export EXPORTED=1; plain=2; cd /; greet() { echo hello from setup; }"
        job = cluster.submit(
            'greet; echo "$EXPORTED$plain in $PWD with $1"', setup=setup, args=("an argument",)
        )
        assert cluster.end(job).reason == Reason.JOB_COMPLETED
        printed = cluster.printed(job)
        assert "hello from setup" in printed and "12 in / with an argument" in printed

    @pytest.mark.parametrize("setup", ["exit 0", "exec true", "if then"])
    def test_a_setup_without_an_end_is_a_failed_start(self, cluster: Cluster, setup: str) -> None:
        job = cluster.submit("echo reached", setup=setup)
        assert cluster.end(job).reason == Reason.START_FAILED
        assert "reached" not in cluster.printed(job)

    def test_a_shell_that_executes_nothing_is_not_a_success(self, cluster: Cluster) -> None:
        outcome = cluster.run("exit 3", env={"SHELLOPTS": "noexec"})
        # Some clusters can start a shell that executes all the same.
        assert outcome.reason_class is ReasonClass.INFRA or outcome.exit_code == 3, outcome.detail

    def test_a_command_that_kills_its_sentinel_has_no_exit_code(self, cluster: Cluster) -> None:
        outcome = cluster.run(
            "kill -9 $PPID; sleep 1; exit 137", seconds=30.0, grace_period=cluster.seconds(1.0)
        )
        assert outcome.reason_class is ReasonClass.INFRA, outcome.detail
        assert outcome.exit_code is None

    def test_variables_of_env_reach_the_command(self, cluster: Cluster) -> None:
        names = ["n", "max", "dir", "how", "child", "home", "cja", "_a", "_Z"]
        run = "; ".join(f'echo "{name}=${name}"' for name in names)
        job = cluster.submit(run, env=dict.fromkeys(names, "its own"))
        assert cluster.end(job).reason == Reason.JOB_COMPLETED
        assert [line for line in cluster.printed(job) if "=its own" in line] == [
            f"{name}=its own" for name in names
        ]

    def test_a_missing_workdir_is_a_failed_start(self, cluster: Cluster) -> None:
        outcome = cluster.run("echo reached", workdir="/no/such/folder")
        assert outcome.reason == Reason.START_FAILED

    def test_a_workdir_is_where_the_command_runs(self, cluster: Cluster) -> None:
        folder = need_shared(cluster) / "a folder with 'quotes'"
        folder.mkdir()
        job = cluster.submit("pwd -P", workdir=str(folder))
        assert cluster.end(job).reason == Reason.JOB_COMPLETED
        assert str(Path(folder).resolve()) in cluster.printed(job)

    def test_a_missing_shell_is_a_failed_start(self, cluster: Cluster) -> None:
        folder = need_shared(cluster) / "bin"
        folder.mkdir()
        outcome = cluster.run("echo reached", env={"PATH": str(folder)})
        assert outcome.reason == Reason.START_FAILED

    @pytest.mark.parametrize("reason", _FORCED_REASONS)
    def test_a_forced_end_has_its_reason(self, cluster: Cluster, reason: Reason) -> None:
        if reason not in cluster.harness.provoke:
            pytest.skip(f"the harness cannot provoke {reason} (provoke)")
        job = cluster.harness.provoke[reason](cluster)
        assert cluster.end(job).reason == reason

    def test_the_native_state_is_reported(self, cluster: Cluster) -> None:
        job = cluster.submit("exit 3")
        assert cluster.wait(job).native_state
        assert cluster.wait(job).phase is Phase.ENDED


def _assert_ended(outcome: Outcome, reason: Reason, code: int) -> None:
    assert (outcome.reason, outcome.exit_code) == (reason, code), outcome.detail
