"""Logs: while a job runs and after its end, whole and in pieces, whatever it prints."""

from __future__ import annotations

import json

import pytest

from ...backends import sentinel
from ...model import Phase
from ...model import Reason
from ...model.token import nonce
from ..cluster import Cluster
from .base import need_shared
from .base import Suite

_MANY_LINES = 400_000


class LogTests(Suite):
    """Reading the output of jobs."""

    def test_both_streams_are_in_the_log(self, cluster: Cluster) -> None:
        job = cluster.submit("echo out; echo err >&2")
        cluster.wait(job)
        assert {"out", "err"} <= set(cluster.printed(job))

    def test_a_running_job_s_log_can_be_read(self, cluster: Cluster) -> None:
        if not cluster.harness.live_logs:
            pytest.skip("this cluster shows logs of ended jobs only")
        flag = need_shared(cluster) / "go"
        job = cluster.submit(f"echo before; until [ -e '{flag}' ]; do sleep 0.1; done; echo after")
        cluster.wait(job, until=lambda observation: observation.phase is Phase.RUNNING)
        cluster.eventually(lambda: "before" in cluster.read(job).text.splitlines())
        chunk = cluster.read(job)
        assert not chunk.complete
        flag.touch()
        cluster.wait(job)
        whole = cluster.log(job)
        rest = job.backend.logs(job.handle, cursor=chunk.cursor).text
        assert chunk.text + rest == whole
        assert "after" in rest.splitlines()

    def test_the_log_of_a_pending_job_is_empty(self, cluster: Cluster) -> None:
        job = cluster.submit(f"sleep {cluster.seconds(0.5)}; echo word")
        chunk = job.backend.logs(job.handle)
        assert "word" not in chunk.text.splitlines() and not chunk.complete
        cluster.wait(job)
        assert "word" in cluster.printed(job)

    def test_an_ended_job_s_log_is_complete(self, cluster: Cluster) -> None:
        job = cluster.submit("seq 1 1000; echo the end")
        cluster.end(job)
        lines = cluster.printed(job)
        assert lines[lines.index("1") :][:1000] == [str(n) for n in range(1, 1001)]
        assert "the end" in lines

    def test_a_log_is_not_complete_while_the_job_runs(self, cluster: Cluster) -> None:
        job = cluster.submit(f"echo early; sleep {cluster.seconds(1.5)}; echo late")
        while cluster.poll(job) and job.seen[-1].phase is not Phase.ENDED:
            chunk = cluster.read(job)
            assert not chunk.complete or "late" in chunk.text
        assert "late" in cluster.printed(job)

    def test_a_tail_is_the_end_of_the_log(self, cluster: Cluster) -> None:
        job = cluster.submit("seq 1 5000")
        cluster.wait(job)
        whole = cluster.log(job)
        tail = job.backend.logs(job.handle, tail=500).text
        assert 0 < len(tail) <= 500
        assert whole.endswith(tail)
        assert job.backend.logs(job.handle, tail=10_000_000).text == whole

    def test_a_cursor_continues_where_the_last_read_ended(self, cluster: Cluster) -> None:
        job = cluster.submit("seq 1 2000")
        cluster.wait(job)
        whole = cluster.log(job)
        cursor = cluster.read(job).cursor
        assert cluster.read(job).text == whole
        assert job.backend.logs(job.handle, cursor=json.loads(json.dumps(cursor))).text == ""

    def test_megabytes_are_read_without_loss(self, cluster: Cluster) -> None:
        job = cluster.submit(f"seq 1 {_MANY_LINES}")
        cluster.wait(job, seconds=60.0)
        numbers = [line for line in cluster.printed(job) if line.isdigit()]
        assert len(numbers) == _MANY_LINES
        assert numbers == [str(n) for n in range(1, _MANY_LINES + 1)]

    def test_wide_characters_are_not_split(self, cluster: Cluster) -> None:
        job = cluster.submit(
            "for i in $(seq 1 4000); do printf '\\303\\244\\342\\202\\254\\360\\237\\230\\200x'; done"
        )
        cluster.wait(job)
        text = cluster.log(job)
        assert "\ufffd" not in text
        assert text.count("ä€😀x") == 4000

    def test_a_last_line_without_a_newline_is_kept(self, cluster: Cluster) -> None:
        job = cluster.submit("printf 'no newline'")
        outcome = cluster.end(job)
        assert outcome.exit_code == 0
        assert "no newline" in cluster.log(job)

    def test_binary_output_does_not_break_the_log(self, cluster: Cluster) -> None:
        job = cluster.submit(
            "echo before; head -c 20000 /dev/urandom; printf '\\000\\377\\376\\033[2J'; echo; exit 3"
        )
        outcome = cluster.end(job)
        assert outcome.exit_code == 3
        text = cluster.log(job)
        assert text.encode("utf-8") and "before" in text

    def test_a_silent_job_has_a_complete_log(self, cluster: Cluster) -> None:
        job = cluster.submit("true")
        cluster.wait(job)
        cluster.log(job)

    def test_closed_streams_do_not_hide_the_end(self, cluster: Cluster) -> None:
        assert cluster.run("exec >&- 2>&-; exit 3").exit_code == 3

    def test_a_log_has_the_marks_of_its_rank(self, cluster: Cluster) -> None:
        ranks = 2 if min(cluster.backend.capabilities.max_nodes or 2, cluster.harness.max_nodes) > 1 else 1
        job = cluster.submit("echo step", nodes=ranks)
        assert cluster.end(job).reason == Reason.JOB_COMPLETED
        for rank in range(ranks):
            marks = sentinel.read(cluster.log(job, node=rank), nonce(job.token), rank)
            assert marks.begun, f"rank {rank}: no mark that its command began"
            assert marks.report is not None and marks.report.exit_code == 0

    @pytest.mark.parametrize(
        "second",
        [
            "echo two >/dev/stderr",
            "echo two | tee /dev/stderr >/dev/null",
            "echo two >/dev/stdout",
        ],
    )
    def test_output_that_is_opened_again_is_appended(self, cluster: Cluster, second: str) -> None:
        job = cluster.submit(f"echo one; {second}; echo three")
        assert cluster.end(job).reason == Reason.JOB_COMPLETED
        assert [line for line in cluster.printed(job) if line in ("one", "two", "three")] == [
            "one",
            "two",
            "three",
        ]

    def test_a_detached_process_does_not_hide_the_end(self, cluster: Cluster) -> None:
        flood = "setsid sh -c 'trap \"\" TERM; for i in 1 2 3 4; do seq 30000; sleep 0.5; done' & sleep 0.2; exit 4"
        assert cluster.run(flood, seconds=30.0).exit_code == 4
