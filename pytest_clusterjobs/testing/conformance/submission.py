"""Submitting: handles, phases, tokens, many at once, other processes."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from queue import Queue
from typing import Any

import pytest

from ...backends.limits import validated
from ...backends.protocol import Found
from ...backends.protocol import Notifying
from ...backends.protocol import NotSubmitted
from ...backends.protocol import SubmissionRejected
from ...model import Handle
from ...model import JobSpec
from ...model import Phase
from ...model import Reason
from ..cluster import Cluster
from ..cluster import SubmittedJob
from ..cluster import through_json
from .base import need_shared
from .base import need_slots
from .base import Suite

_MAX_FIND_SETTLE_SECONDS = 60.0
"""A test does not wait for a longer ``find_settle``."""


class SubmissionTests(Suite):
    """Submitting, finding and re-attaching."""

    def test_capabilities_are_valid(self, cluster: Cluster) -> None:
        can = cluster.backend.capabilities
        assert validated(lambda: can) == cluster.backend.capabilities

    def test_the_type_states_what_its_backend_can_do(self, cluster: Cluster) -> None:
        state = cluster.harness.type.capabilities
        if state is None:
            pytest.skip("the type declares no capabilities: pass them to BackendType")
        settings = cluster.harness.type.validate(cluster.harness.settings)
        stated, can = validated(lambda: state(settings)), cluster.backend.capabilities
        # Limits that do not follow from the settings are left to the opened backend.
        assert stated.max_nodes in (None, can.max_nodes)
        assert stated.max_restarts in (None, can.max_restarts)
        assert (stated.restarts, stated.knows_secrets) == (can.restarts, can.knows_secrets)

    def test_a_handle_survives_json(self, cluster: Cluster) -> None:
        handle = cluster.backend.submit(cluster.spec("true"), cluster.token())
        assert through_json(handle) == handle

    def test_the_cluster_gives_the_job_an_id(self, cluster: Cluster) -> None:
        job = cluster.submit("true")
        cluster.wait(job)
        assert job.handle.job_id

    def test_phases_only_go_forward(self, cluster: Cluster) -> None:
        job = cluster.submit(f"sleep {cluster.seconds(0.5)}")
        cluster.wait(job)
        order = [phase for phase in job.phases if phase is not Phase.ABSENT]
        assert order == sorted(order, key=[Phase.PENDING, Phase.RUNNING, Phase.ENDED].index)

    def test_an_end_is_final_and_does_not_change(self, cluster: Cluster) -> None:
        job = cluster.submit("exit 3")
        first = cluster.wait(job)
        for _ in range(3):
            again = cluster.wait(job)
            assert (again.exit_code, again.times, again.restarts) == (
                first.exit_code,
                first.times,
                first.restarts,
            )

    def test_a_running_job_is_not_reported_as_ended(self, cluster: Cluster) -> None:
        flag = need_shared(cluster) / "go"
        job = cluster.submit(f"until [ -e '{flag}' ]; do sleep 0.1; done")
        cluster.wait(job, until=lambda observation: observation.phase is Phase.RUNNING)
        for _ in range(3):
            assert cluster.poll(job)[0].phase is Phase.RUNNING
        flag.touch()
        assert cluster.end(job).reason == Reason.JOB_COMPLETED

    def test_a_job_without_a_free_slot_is_pending(self, cluster: Cluster) -> None:
        slots = need_slots(cluster)
        running = [cluster.submit("sleep 600") for _ in range(slots)]
        cluster.wait(*running, until=lambda observation: observation.phase is Phase.RUNNING)
        queued = cluster.submit("true")
        cluster.wait(queued, until=lambda observation: observation.phase is not Phase.ABSENT)
        assert queued.seen[-1].phase is Phase.PENDING
        assert queued.seen[-1].times.started is None
        cluster.backend.cancel({running[0].token: running[0].handle})
        assert cluster.end(queued).reason == Reason.JOB_COMPLETED

    def test_times_are_in_order(self, cluster: Cluster) -> None:
        job = cluster.submit(f"sleep {cluster.seconds(0.5)}")
        times = cluster.wait(job).times
        known = [moment for moment in (times.submitted, times.started, times.ended) if moment is not None]
        assert known == sorted(known)
        if times.started is not None and times.ended is not None:
            assert times.ended - times.started >= cluster.seconds(0.4)

    def test_times_are_seconds_since_the_epoch(self, cluster: Cluster) -> None:
        before = time.time()
        times = cluster.wait(cluster.submit("true")).times
        after = time.time()
        for moment in (times.submitted, times.started, times.ended):
            assert moment is None or before - 60 < moment < after + 60

    def test_polling_no_jobs_is_not_an_error(self, cluster: Cluster) -> None:
        assert cluster.backend.poll({}) == {}

    def test_a_rejected_submission_has_a_message(self, cluster: Cluster) -> None:
        if cluster.harness.refused is None:
            pytest.skip("the harness names no submission that is rejected (refused)")
        _assert_rejected(cluster, **cluster.harness.refused)

    def test_a_job_with_too_many_nodes_is_rejected(self, cluster: Cluster) -> None:
        limit = cluster.backend.capabilities.max_nodes
        if limit is None:
            pytest.skip("this backend has no limit")
        _assert_rejected(cluster, nodes=limit + 1)

    def test_a_job_with_too_many_restarts_is_rejected(self, cluster: Cluster) -> None:
        can = cluster.backend.capabilities
        limit = can.max_restarts if can.restarts else 0
        if limit is None:
            pytest.skip("this backend has no limit")
        _assert_rejected(cluster, max_restarts=limit + 1)

    def test_one_token_is_one_job(self, cluster: Cluster) -> None:
        token = cluster.token()
        run = f"echo started; sleep {cluster.seconds(1.0)}"
        first = cluster.submit(run, token=token)
        cluster.eventually(lambda: isinstance(cluster.backend.find(token), Found))
        second = cluster.submit(run, token=token)
        cluster.wait(first, second)
        assert first.handle.job_id == second.handle.job_id
        assert cluster.printed(second).count("started") == 1

    def test_one_token_starts_once(self, cluster: Cluster) -> None:
        starts = need_shared(cluster) / "starts"
        token = cluster.token()
        for _ in range(3):
            job = cluster.submit(f"echo started >> '{starts}'", token=token)
            cluster.eventually(lambda: isinstance(cluster.backend.find(token), Found))
            cluster.wait(job)
        assert starts.read_text() == "started\n"

    def test_a_submitted_token_is_found_by_another_process(self, cluster: Cluster) -> None:
        job = cluster.submit("exit 4")
        other = cluster.open()
        cluster.eventually(lambda: isinstance(other.find(job.token), Found))
        answer = other.find(job.token)
        assert isinstance(answer, Found)
        again = SubmittedJob(job.spec, job.token, through_json(answer.handle), other)
        assert cluster.end(again).exit_code == 4

    def test_a_token_is_found_after_its_job_has_ended(self, cluster: Cluster) -> None:
        job = cluster.submit("true")
        cluster.wait(job)
        assert isinstance(cluster.open().find(job.token), Found)

    def test_a_token_that_was_never_submitted_is_not_found(self, cluster: Cluster) -> None:
        cluster.wait(cluster.submit("true"))
        token = cluster.token()
        assert not isinstance(cluster.backend.find(token), Found)
        settle = cluster.backend.capabilities.find_settle
        if settle <= _MAX_FIND_SETTLE_SECONDS:
            cluster.eventually(lambda: isinstance(cluster.backend.find(token), NotSubmitted), settle)

    def test_a_sweep_returns_the_live_jobs_of_the_run(self, cluster: Cluster) -> None:
        jobs = [cluster.submit("sleep 600") for _ in range(2)]
        fresh = cluster.open()
        cluster.eventually(lambda: fresh.sweep(cluster.run_id).keys() == {job.token for job in jobs})
        handles = fresh.sweep(cluster.run_id)
        fresh.cancel({token: through_json(handle) for token, handle in handles.items()})
        cluster.wait(*jobs)
        cluster.eventually(lambda: not fresh.sweep(cluster.run_id))

    def test_a_sweep_returns_no_jobs_of_other_runs(self, cluster: Cluster) -> None:
        # The second run's id begins with the first's, and so do its tokens.
        with Cluster(cluster.harness, cluster.folder, f"{cluster.run_id}-2") as other:
            mine, theirs = cluster.submit("sleep 600"), other.submit("sleep 600")
            cluster.eventually(lambda: mine.token in cluster.backend.sweep(cluster.run_id))
            cluster.eventually(lambda: theirs.token in other.backend.sweep(other.run_id))
            assert theirs.token not in cluster.backend.sweep(cluster.run_id)
            assert mine.token not in other.backend.sweep(other.run_id)

    def test_a_job_outlives_its_submitter_and_is_re_attached_by_its_handle(self, cluster: Cluster) -> None:
        if not isinstance(cluster.harness.backend, str):
            pytest.skip("give the backend as 'module:NAME', so that a fresh process can open it")
        token = cluster.token()
        spec = cluster.spec(f"echo first; sleep {cluster.seconds(1.0)}; echo last; exit 5")
        handle = _submit_in_subprocess(cluster, cluster.harness.backend, spec, token)
        job = SubmittedJob(spec, token, handle, cluster.open())
        assert cluster.end(job).exit_code == 5
        assert [line for line in cluster.printed(job) if line in ("first", "last")] == ["first", "last"]

    def test_jobs_keep_running_when_the_backend_is_closed(self, cluster: Cluster) -> None:
        first = cluster.open()
        job = cluster.submit(f"sleep {cluster.seconds(1.0)}; exit 6", backend=first)
        first.close()
        job.backend = cluster.open()
        assert cluster.end(job).exit_code == 6

    def test_an_end_is_announced(self, cluster: Cluster) -> None:
        backend = cluster.harness.type.open(cluster.context())
        with closing(backend):
            if not isinstance(backend, Notifying):
                pytest.skip("this backend does not announce changes (subscribe)")
            announced: Queue[Collection[str]] = Queue()
            backend.subscribe(announced.put)
            job = cluster.submit(f"sleep {cluster.seconds(0.5)}", backend=backend)
            timeout = cluster.harness.start_seconds + cluster.seconds(10.0)
            while cluster.poll(job) and job.seen[-1].phase is not Phase.ENDED:
                assert job.token in announced.get(timeout=timeout)

    def test_hundreds_at_once_each_with_its_own_end(self, cluster: Cluster) -> None:
        numbers = range(cluster.harness.many)
        with ThreadPoolExecutor(cluster.backend.capabilities.submit_threads) as pool:
            jobs = list(pool.map(lambda n: cluster.submit(f"echo number {n}; exit {n % 100}"), numbers))
        cluster.wait(*jobs, seconds=cluster.harness.many * 0.5)
        cluster.poll(*jobs)
        assert [cluster.judge(job).exit_code for job in jobs] == [n % 100 for n in numbers]
        assert len({job.handle.job_id for job in jobs}) == len(jobs)
        last = jobs[-1]
        assert f"number {numbers[-1]}" in cluster.printed(last)

    def test_a_job_has_its_variables(self, cluster: Cluster) -> None:
        token = cluster.token(attempt=3)
        job = cluster.submit(
            "env | grep ^CLUSTERJOBS_",
            token=token,
            name="arena-1n-normal",
            recipe="arena",
            condition="normal",
            env={"CLUSTERJOBS_RECIPE_FILE": "mine"},
        )
        assert cluster.end(job).reason == Reason.JOB_COMPLETED
        seen = dict(
            line.split("=", 1) for line in cluster.printed(job) if re.match(r"CLUSTERJOBS_\w+=", line)
        )
        expected = {
            "CLUSTERJOBS_RUN_ID": cluster.run_id,
            "CLUSTERJOBS_CELL": "arena-1n-normal",
            "CLUSTERJOBS_RECIPE": "arena",
            "CLUSTERJOBS_CONDITION": "normal",
            "CLUSTERJOBS_ATTEMPT": "3",
            "CLUSTERJOBS_RESTARTS": "0",
            "CLUSTERJOBS_NUM_NODES": "1",
            "CLUSTERJOBS_NODE_RANK": "0",
            "CLUSTERJOBS_RECIPE_FILE": "mine",
        }
        assert {name: seen.get(name) for name in expected} == expected
        assert seen["CLUSTERJOBS_MASTER_ADDR"] and 0 < int(seen["CLUSTERJOBS_MASTER_PORT"]) < 65536


def _assert_rejected(cluster: Cluster, **fields: Any) -> None:
    token = cluster.token()
    with pytest.raises(SubmissionRejected, match=r"\S"):
        cluster.submit("true", token=token, **fields)
    assert not isinstance(cluster.backend.find(token), Found)


def _submit_in_subprocess(cluster: Cluster, backend: str, spec: JobSpec, token: str) -> Handle:
    done = subprocess.run(
        [sys.executable, "-m", "pytest_clusterjobs.testing.submit_in_subprocess", *sys.path],
        input=pickle.dumps((backend, cluster.context(), spec, token)),
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    return Handle(**json.loads(done.stdout))
