"""The local backend's jobs that cannot be started, and a runner that cannot: the job's end says so, and
the others go on."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import pytest

from pytest_clusterjobs.backends.local.channel import Channel
from pytest_clusterjobs.backends.local.journal import read
from pytest_clusterjobs.backends.protocol import SubmissionRejected
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import SentinelWord
from tests.backends.test_local_backend import Local
from tests.backends.test_local_backend import local
from tests.backends.test_local_backend import slots
from tests.backends.test_local_backend import until_dead

pytestmark = pytest.mark.quiet
__all__ = ["local", "slots"]


def why_not_started(seen: Observation) -> list[str]:
    reports = [node.report for node in seen.nodes]
    assert {report.word for report in reports if report is not None} == {SentinelWord.START_FAILED}
    return [report.note if report is not None else "" for report in reports]


@pytest.mark.parametrize(
    ("change", "prefix"),
    [
        ({"env": {"A=B": "x"}}, "ValueError: illegal environment variable name"),
        ({"env": {"A": "x\0y"}}, "ValueError: embedded null byte"),
        ({"env": {"": "x"}}, "ValueError: illegal environment variable name"),
        ({"env": {"A": 3}}, "AttributeError: 'int' object has no attribute 'encode'"),
        ({"argv": ["sh", "-c", "echo \ud800"]}, "UnicodeEncodeError: 'utf-8' codec can't encode"),
        ({"argv": ["zsh"]}, "KeyError: 'zsh'"),
        ({"argv": ["sh", "-c", "x" * 200_000]}, "Argument list too long"),
    ],
)
def test_what_the_system_cannot_start_ends_at_once_and_gives_its_slots_back(
    local: Local, change: dict[str, object], prefix: str
) -> None:
    """The runner is called directly, since a spec like these cannot be constructed."""
    before = local.submit("true", nodes=4)
    local.wait(before)
    token = local.token()
    request = {"name": "x", "nodes": 4, "argv": ["sh", "-c", ":"], "env": {}, "grace": 1.0}
    peer = local.paths.connect()
    assert peer is not None
    channel = Channel(peer)
    channel.call("submit", token=token, **{**request, "max_restarts": 1, **change})
    seen = local.backend.poll({token: local.backend.find(token).handle})[token]  # type: ignore[union-attr]
    channel.close()
    assert seen.phase is Phase.ENDED
    notes = why_not_started(seen)
    assert len(notes) == 4 and all(note.startswith(prefix) for note in notes), notes
    after = local.submit("true", nodes=4)
    assert local.wait(after).exit_code == 0
    assert local.runner == int(read(local.paths.journal)[1]["pid"])


@pytest.mark.parametrize("slots", [200])
def test_descriptors_that_run_out_are_one_jobs_failure_to_start(local: Local) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, hard))
    try:
        few = local.submit("echo up; sleep 60")
        local.says(few, "up")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    runner = local.runner
    many = local.submit("sleep 60", nodes=100, grace_period=0.5)
    ended = local.wait(many)
    failed = [node for node in ended.nodes if node.report and node.report.word is SentinelWord.START_FAILED]
    assert failed and {node.report.note for node in failed if node.report} == {os.strerror(24)}
    assert local.runner == runner
    assert local.backend.poll({few.token: few.handle})[few.token].phase is Phase.RUNNING
    local.backend.cancel({few.token: few.handle})
    assert local.wait(few).reason_hint is Reason.CANCELLED


def test_a_runner_that_cannot_start_is_a_rejection_with_its_message(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(SubmissionRejected, match="the local runner does not start: it printed no message"):
        local.submit("true")
    monkeypatch.setattr("sys.executable", "/no/such/python")
    with pytest.raises(SubmissionRejected, match=r"does not start: .*No such file"):
        local.submit("true")


def test_jobs_of_a_dead_runner_end_even_if_no_other_can_start(
    local: Local, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = local.submit("echo up; sleep 60", grace_period=0.5)
    local.says(job, "up")
    runner = local.runner
    monkeypatch.setattr("sys.executable", "/bin/false")
    os.kill(runner, 9)
    until_dead(runner)
    ended = local.wait(job)
    assert ended.reason_hint is Reason.NODE_FAILED
    assert ended.native_reason == "the local runner died while this job ran"


def test_folders_whose_names_are_not_utf8_work(local: Local, tmp_path: Path) -> None:
    folder = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff \xe9%41"))
    folder.mkdir()
    with Local(local.harness, folder) as odd:
        job = odd.submit('printf "up "; touch here; ls; sleep 60', workdir=".", grace_period=0.5)
        odd.says(job, "here")
        assert (folder / "here").exists()
        with Local(local.harness, tmp_path / "x") as other:
            other.backend.cancel({job.token: job.handle})
        assert odd.wait(job).reason_hint is Reason.CANCELLED
        odd.no_process_is_left()
