"""Every promise of the conformance suite is kept: a backend that breaks it is caught by the named test."""

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
from tests.testing.sabotage import Honest

CAUGHT_BY: dict[type[Honest], str] = {
    sabotage.CallsPendingEnded: "test_a_running_job_is_not_called_ended",
    sabotage.ComesBackFromItsEnd: "test_an_end_is_final_and_told_alike_each_time",
    sabotage.CallsQueuedRunning: "test_a_job_without_a_place_is_pending",
    sabotage.LosesTheExitCode: "test_an_exit_code_comes_back",
    sabotage.TellsSignalsBare: "test_a_signal_is_128_and_its_number",
    sabotage.SeesTheFirstRankOnly: "test_the_rank_that_failed_decides",
    sabotage.ForgetsRestarts: "test_a_job_recovers_by_a_restart",
    sabotage.InventsARestart: "test_what_completed_is_not_restarted",
    sabotage.TellsMilliseconds: "test_times_are_those_of_the_epoch",
    sabotage.TurnsTimesAround: "test_times_are_in_order",
    sabotage.SaysNothingOfTheState: "test_what_the_scheduler_said_is_kept",
    sabotage.TellsASecret: "test_a_secret_is_in_nothing_that_is_told",
    sabotage.SecretInTheHandle: "test_a_secret_is_in_nothing_that_is_told",
    sabotage.SecretInAFile: "test_a_secret_is_in_no_file_and_no_process_list",
    sabotage.SecretOnTheCommandLine: "test_a_secret_is_in_no_file_and_no_process_list",
    sabotage.HandleIsNoJson: "test_a_handle_survives_json",
    sabotage.HandleChangesInJson: "test_a_handle_survives_json",
    sabotage.HasNoIds: "test_the_cluster_gives_the_job_an_id",
    sabotage.SubmitsTwice: "test_one_token_is_one_job",
    sabotage.HidesARefusal: "test_a_refused_submission_says_why",
    sabotage.MixesUpJobs: "test_hundreds_at_once_each_with_its_own_end",
    sabotage.AnswersUnasked: "test_the_cluster_gives_the_job_an_id",
    sabotage.FailsOnNobody: "test_polling_nobody_is_no_error",
    sabotage.RemembersInMemoryOnly: "test_a_submitted_token_is_found_by_another_process",
    sabotage.NeverFinds: "test_a_token_is_found_after_its_job_has_ended",
    sabotage.FindsAnything: "test_a_token_that_was_never_submitted_is_not_found",
    sabotage.AnnouncesNothing: "test_an_end_is_announced",
    sabotage.SweepsByPrefix: "test_a_sweep_sees_no_other_run_s_jobs",
    sabotage.SweepsNothing: "test_a_sweep_sees_this_run_s_live_jobs",
    sabotage.EndsJobsOnClose: "test_jobs_live_on_when_the_backend_is_closed",
    sabotage.IgnoresCancels: "test_a_running_job_is_cancelled",
    sabotage.CancelsByWordOnly: "test_no_process_is_left_after_a_cancel",
    sabotage.CancelsEverything: "test_only_the_named_jobs_are_cancelled",
    sabotage.CancelsTheDead: "test_a_cancel_after_the_end_changes_nothing",
    sabotage.CallsCancelledCompleted: "test_a_cancelled_job_is_not_the_product_s_end",
    sabotage.ReadsOneRankOnly: "test_every_rank_has_its_own_log",
    sabotage.HasOneRankForAll: "test_a_rank_that_is_not_there_has_printed_nothing",
    sabotage.LendsTheLastRanksLog: "test_a_rank_that_is_not_there_has_printed_nothing",
    sabotage.TakesWiderJobs: "test_a_job_with_more_nodes_than_there_can_be_is_refused",
    sabotage.ForgetsThatItDoesNotRestart: "test_a_job_with_more_restarts_than_there_can_be_is_refused",
    sabotage.RestartsLessOftenThanAsked: "test_a_job_with_more_restarts_than_there_can_be_is_refused",
    sabotage.IsNarrowerThanItsTypeStates: "test_the_type_states_what_its_backend_can_do",
    sabotage.RestartsLessThanItsTypeStates: "test_the_type_states_what_its_backend_can_do",
    sabotage.StatesNoCapabilities: "test_the_type_states_what_its_backend_can_do",
    sabotage.ReadsOneStartOnly: "test_each_start_has_its_own_log",
    sabotage.ForgetsTheCursor: "test_a_cursor_goes_on_where_it_left",
    sabotage.ReadsTheHeadForTheTail: "test_a_tail_is_the_end_of_the_log",
    sabotage.CallsALogCompleteTooEarly: "test_a_log_is_not_complete_while_the_job_runs",
    sabotage.NeverCallsALogComplete: "test_a_silent_job_has_a_complete_log",
    sabotage.CutsLogs: "test_megabytes_come_back_without_loss",
    sabotage.TearsCharacters: "test_wide_characters_are_not_torn",
    sabotage.JoinsArguments: "test_arguments_arrive_as_they_are",
    sabotage.StripsValues: "test_values_of_env_arrive_as_they_are",
    sabotage.QuotesTheScriptOnce: "test_a_script_is_run_as_it_is_written",
    sabotage.ForgetsSecrets: "test_a_secret_reaches_the_job",
    sabotage.IgnoresHeartbeats: "test_silence_is_a_heartbeat_timeout",
    sabotage.CountsTheRunTimeOverAllStarts: "test_every_start_has_its_own_run_time",
    sabotage.IgnoresTheRunTime: "test_no_job_runs_longer_than_it_may",
    sabotage.GivesNoGrace: "test_a_command_that_ignores_term_ends_after_its_grace_period",
    sabotage.RestartsUnasked: "test_nothing_is_restarted_unasked",
    sabotage.NeverRestarts: "test_restarts_run_out",
    sabotage.RunsSetupInTheCommand: "test_a_failing_setup_is_a_failed_start",
    sabotage.IgnoresTheWorkdir: "test_a_workdir_is_where_the_command_runs",
    sabotage.TellsEveryRankTheSame: "test_every_rank_knows_the_job",
    sabotage.TellsTheWrongName: "test_a_job_sees_what_it_is",
    sabotage.LosesTheBeginning: "test_a_log_has_the_marks_of_its_rank",
    sabotage.LosesTheEnd: "test_a_log_has_the_marks_of_its_rank",
    sabotage.MixesUpRanks: "test_a_log_has_the_marks_of_its_rank",
    sabotage.GivesOneRanksReportForAll: "test_the_rank_that_failed_decides",
    sabotage.TrustsSignals: "test_a_signal_is_no_limit",
    sabotage.TrustsTheClusterForADeadSentinel: "test_a_command_that_kills_its_sentinel_has_no_exit_code",
    sabotage.CallsSetupTheCommand: "test_a_setup_without_an_end_is_a_failed_start",
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


class Fine(Honest):
    """Not broken at all."""

    def subscribe(self, changed: Callable[[Collection[str]], None]) -> None:
        cast(Notifying, self.inner).subscribe(changed)


def run(name: str, kind: type[Honest], folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
    # Whatever the broken one leaves behind, an honest one cleans up.
    fine = replace(harness, backend=broken(Fine))
    with Cluster(fine, folder) as honest, Cluster(harness, folder, honest.run_id) as cluster:
        test(cluster, **wanted)


@pytest.mark.parametrize("name", sorted(set(CAUGHT_BY.values())))
def test_the_unbroken_backend_passes(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(name, Fine, tmp_path, monkeypatch)


@pytest.mark.parametrize("kind", CAUGHT_BY, ids=lambda kind: kind.__name__)
def test_a_broken_backend_is_caught(
    kind: type[Honest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    caught = (AssertionError, TypeError, ValueError, LookupError, Empty, BackendError, pytest.fail.Exception)
    with pytest.raises(caught):
        run(CAUGHT_BY[kind], kind, tmp_path, monkeypatch)


def test_every_broken_backend_is_tried() -> None:
    kinds = {kind for kind in Honest.__subclasses__() if kind.__module__ == sabotage.__name__}
    assert kinds == set(CAUGHT_BY)
