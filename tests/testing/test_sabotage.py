"""Each requirement of the suite is enforced: the named test fails for a backend that breaks it."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from queue import Empty
from typing import Any
from typing import cast

import pytest

from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.protocol import Notifying
from pytest_clusterjobs.testing import BackendConformance
from pytest_clusterjobs.testing import Cluster
from pytest_clusterjobs.testing import Harness
from tests.testing import sabotage
from tests.testing.sabotage import broken
from tests.testing.sabotage import LocalWrapper

CAUGHT_BY: dict[type[LocalWrapper], str] = {
    sabotage.ReportsPendingAsEnded: "test_a_running_job_is_not_reported_as_ended",
    sabotage.RunsAgainAfterItsEnd: "test_an_end_is_final_and_does_not_change",
    sabotage.ReportsQueuedAsRunning: "test_a_job_without_a_free_slot_is_pending",
    sabotage.LosesTheExitCode: "test_an_exit_code_is_reported",
    sabotage.ReportsBareSignals: "test_a_signal_is_128_and_its_number",
    sabotage.ReportsTheFirstRankOnly: "test_the_rank_that_failed_decides",
    sabotage.OmitsRestarts: "test_a_job_recovers_by_a_restart",
    sabotage.InventsARestart: "test_a_completed_job_is_not_restarted",
    sabotage.ReportsMilliseconds: "test_times_are_seconds_since_the_epoch",
    sabotage.ReversesTimes: "test_times_are_in_order",
    sabotage.OmitsTheNativeState: "test_the_native_state_is_reported",
    sabotage.ReportsASecret: "test_a_secret_is_not_in_handles_and_observations",
    sabotage.SecretInTheHandle: "test_a_secret_is_not_in_handles_and_observations",
    sabotage.SecretInAFile: "test_a_secret_is_in_no_file_and_no_process_list",
    sabotage.SecretOnTheCommandLine: "test_a_secret_is_in_no_file_and_no_process_list",
    sabotage.HandleIsNoJson: "test_a_handle_survives_json",
    sabotage.HandleChangesInJson: "test_a_handle_survives_json",
    sabotage.HasNoIds: "test_the_cluster_gives_the_job_an_id",
    sabotage.SubmitsTwice: "test_one_token_is_one_job",
    sabotage.HidesARejection: "test_a_rejected_submission_has_a_message",
    sabotage.MixesUpJobs: "test_hundreds_at_once_each_with_its_own_end",
    sabotage.ReportsUnknownTokens: "test_the_cluster_gives_the_job_an_id",
    sabotage.FailsWithoutJobs: "test_polling_no_jobs_is_not_an_error",
    sabotage.KeepsJobsInMemoryOnly: "test_a_submitted_token_is_found_by_another_process",
    sabotage.NeverFinds: "test_a_token_is_found_after_its_job_has_ended",
    sabotage.FindsAnything: "test_a_token_that_was_never_submitted_is_not_found",
    sabotage.AnnouncesNothing: "test_an_end_is_announced",
    sabotage.SweepsByPrefix: "test_a_sweep_returns_no_jobs_of_other_runs",
    sabotage.SweepsNothing: "test_a_sweep_returns_the_live_jobs_of_the_run",
    sabotage.EndsJobsOnClose: "test_jobs_keep_running_when_the_backend_is_closed",
    sabotage.IgnoresCancels: "test_a_running_job_is_cancelled",
    sabotage.ReportsACancelOnly: "test_no_process_is_left_after_a_cancel",
    sabotage.CancelsEverything: "test_only_the_named_jobs_are_cancelled",
    sabotage.CancelsEndedJobs: "test_a_cancel_after_the_end_changes_nothing",
    sabotage.ReportsCancelledAsCompleted: "test_a_cancelled_job_is_not_the_product_s_end",
    sabotage.ReadsOneRankOnly: "test_every_rank_has_its_own_log",
    sabotage.HasOneRankForAll: "test_the_log_of_a_rank_that_does_not_exist_is_empty",
    sabotage.LendsTheLastRanksLog: "test_the_log_of_a_rank_that_does_not_exist_is_empty",
    sabotage.AcceptsWiderJobs: "test_a_job_with_too_many_nodes_is_rejected",
    sabotage.AcceptsRestartsButDoesNone: "test_a_job_with_too_many_restarts_is_rejected",
    sabotage.AcceptsMoreRestartsThanItDoes: "test_a_job_with_too_many_restarts_is_rejected",
    sabotage.IsNarrowerThanItsTypeStates: "test_the_type_states_what_its_backend_can_do",
    sabotage.RestartsLessThanItsTypeStates: "test_the_type_states_what_its_backend_can_do",
    sabotage.StatesNoCapabilities: "test_the_type_states_what_its_backend_can_do",
    sabotage.ReadsOneStartOnly: "test_each_start_has_its_own_log",
    sabotage.IgnoresTheCursor: "test_a_cursor_continues_where_the_last_read_ended",
    sabotage.ReadsTheHeadForTheTail: "test_a_tail_is_the_end_of_the_log",
    sabotage.CompletesALogTooEarly: "test_a_log_is_not_complete_while_the_job_runs",
    sabotage.NeverCompletesALog: "test_a_silent_job_has_a_complete_log",
    sabotage.CutsLogs: "test_megabytes_are_read_without_loss",
    sabotage.SplitsCharacters: "test_wide_characters_are_not_split",
    sabotage.JoinsArguments: "test_arguments_arrive_unchanged",
    sabotage.StripsValues: "test_values_of_env_arrive_unchanged",
    sabotage.QuotesTheScriptOnce: "test_a_script_runs_unchanged",
    sabotage.DropsSecrets: "test_a_secret_reaches_the_job",
    sabotage.IgnoresHeartbeats: "test_silence_is_a_heartbeat_timeout",
    sabotage.CountsTheRunTimeOverAllStarts: "test_every_start_has_its_own_run_time",
    sabotage.IgnoresTheRunTime: "test_a_job_ends_at_its_max_runtime",
    sabotage.GivesNoGrace: "test_a_command_that_ignores_term_ends_after_its_grace_period",
    sabotage.RestartsByDefault: "test_a_job_is_not_restarted_by_default",
    sabotage.NeverRestarts: "test_restarts_run_out",
    sabotage.RunsSetupInTheCommand: "test_a_failing_setup_is_a_failed_start",
    sabotage.IgnoresTheWorkdir: "test_a_workdir_is_where_the_command_runs",
    sabotage.GivesEveryRankTheSameNumber: "test_every_rank_knows_the_job",
    sabotage.GivesTheWrongName: "test_a_job_has_its_variables",
    sabotage.LosesTheBeginning: "test_a_log_has_the_marks_of_its_rank",
    sabotage.LosesTheEnd: "test_a_log_has_the_marks_of_its_rank",
    sabotage.MixesUpRanks: "test_a_log_has_the_marks_of_its_rank",
    sabotage.GivesOneRanksReportForAll: "test_the_rank_that_failed_decides",
    sabotage.ReportsSignalsAsLimits: "test_a_signal_is_not_a_limit",
    sabotage.TrustsTheClusterForADeadSentinel: "test_a_command_that_kills_its_sentinel_has_no_exit_code",
    sabotage.ReportsSetupAsTheCommand: "test_a_setup_without_an_end_is_a_failed_start",
}

ARGUMENTS: dict[str, Any] = {
    "code": 3,
    "reason": "job_failed",
    "signal": 9,
    "rank": 1,
    "shell": "bash",
    "setup": "exit 0",
    "name": "ALRM",
}


class Unbroken(LocalWrapper):
    """Not broken at all."""

    def subscribe(self, changed: Callable[[Collection[str]], None]) -> None:
        cast(Notifying, self.inner).subscribe(changed)


def run(name: str, kind: type[LocalWrapper], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run one test of the suite on a backend, as pytest would."""
    shared = folder / "shared"
    shared.mkdir(parents=True)
    harness = Harness(
        backend=broken(kind),
        settings={"slots": 4},
        slots=4,
        refused={"nodes": 5},
        shared=shared,
        same_host=True,
        many=8,
        start_seconds=0.5,
        scale=0.3,
    )
    test = getattr(BackendConformance(), name)
    given = {**ARGUMENTS, "monkeypatch": monkeypatch}
    wanted = {each: given[each] for each in inspect.signature(test).parameters if each != "cluster"}
    # The unbroken backend cleans up what the broken one leaves behind.
    unbroken = replace(harness, backend=broken(Unbroken))
    with Cluster(unbroken, folder) as outer, Cluster(harness, folder, outer.run_id) as cluster:
        test(cluster, **wanted)


@pytest.mark.parametrize("name", sorted(set(CAUGHT_BY.values())))
def test_the_unbroken_backend_passes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(name, Unbroken, tmp_path, monkeypatch)


@pytest.mark.parametrize("kind", CAUGHT_BY, ids=lambda kind: kind.__name__)
def test_a_broken_backend_is_caught(
    kind: type[LocalWrapper], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught = (AssertionError, TypeError, ValueError, LookupError, Empty, BackendError, pytest.fail.Exception)
    with pytest.raises(caught):
        run(CAUGHT_BY[kind], kind, tmp_path, monkeypatch)


def test_every_broken_backend_is_tried() -> None:
    kinds = {kind for kind in LocalWrapper.__subclasses__() if kind.__module__ == sabotage.__name__}
    assert kinds == set(CAUGHT_BY)
