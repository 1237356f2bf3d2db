"""Ownership of a run: one session at a time, also across hosts."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.backends.protocol import FindAnswer
from pytest_clusterjobs.backends.protocol import Found
from pytest_clusterjobs.backends.protocol import NotSubmitted
from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.engine.config import Mode
from pytest_clusterjobs.engine.config import RunConfig
from pytest_clusterjobs.engine.host import Run
from pytest_clusterjobs.engine.host import RunBusy
from pytest_clusterjobs.engine.liveness import beat
from pytest_clusterjobs.engine.liveness import silence
from pytest_clusterjobs.engine.liveness import STALE_AFTER_SECONDS
from pytest_clusterjobs.engine.process import is_free
from pytest_clusterjobs.engine.process import this_process
from pytest_clusterjobs.engine.run import Earlier
from pytest_clusterjobs.engine.run import Engine
from pytest_clusterjobs.ledger.ledger import Ledger
from pytest_clusterjobs.ledger.ledger import Superseded
from pytest_clusterjobs.model import ActionKind
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import OwnAction
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import Verdict
from pytest_clusterjobs.model.records import Attempt
from pytest_clusterjobs.model.token import Token
from pytest_clusterjobs.testing.scripts import Cancelling
from pytest_clusterjobs.testing.scripts import ended
from pytest_clusterjobs.testing.scripts import running
from pytest_clusterjobs.testing.scripts import script
from tests.engine.engine_rig import engine_rig
from tests.engine.engine_rig import entry
from tests.engine.engine_rig import RUN
from tests.ledger.writes import record
from tests.ledger.writes import record_action


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with closing(Ledger(tmp_path / "ledger.sqlite")) as found:
        yield found


def test_a_session_takes_over_the_run_of_a_dead_one(ledger: Ledger) -> None:
    assert ledger.take_over(lambda owner: owner is None, owner={"pid": 1}, mode="run") is None
    assert ledger.take_over(lambda owner: False, owner={"pid": 2}) == {"pid": 1}
    assert ledger.meta() == {"owner": {"pid": 1}, "mode": "run", "session": 1}
    assert ledger.take_over(lambda owner: True, owner={"pid": 2}) is None
    assert ledger.meta() == {"owner": {"pid": 2}, "mode": "run", "session": 2, "incomplete": True}


def test_a_session_that_has_ended_normally_leaves_nothing_in_doubt(ledger: Ledger) -> None:
    for number in (1, 2):
        assert ledger.take_over(lambda owner: owner is None, owner={"pid": number}) is None
        ledger.end_session(number)
    assert "incomplete" not in ledger.meta()
    ledger.end_session(2, is_recorded=False)
    assert ledger.meta()["incomplete"] is True


def test_a_superseded_session_that_ends_does_not_release_the_run(ledger: Ledger) -> None:
    ledger.take_over(lambda owner: True, owner={"pid": 1})
    first = ledger.session()
    ledger.take_over(lambda owner: True, owner={"pid": 2}, ended=None)
    ledger.end_session(first, ended=1.0)
    assert (ledger.meta()["owner"], ledger.meta()["ended"]) == ({"pid": 2}, None)
    ledger.end_session(ledger.session(), ended=2.0)
    assert (ledger.meta()["owner"], ledger.meta()["ended"]) == (None, 2.0)


def test_nothing_is_recorded_for_a_superseded_session(ledger: Ledger) -> None:
    record(ledger, intended=[Attempt("t", "m.yaml::a", 1, 1.0)])
    ledger.take_over(lambda owner: True, owner={})
    ledger.take_over(lambda owner: True, owner={})
    with pytest.raises(Superseded):
        record_action(ledger, OwnAction(ActionKind.CANCEL, "why"), ["t"], session=1)
    assert ledger.attempts()[0].action is None
    record_action(ledger, OwnAction(ActionKind.CANCEL, "why"), ["t"], session=2)
    assert ledger.attempts()[0].action is not None


TAKE = """
import os, sys
from pathlib import Path
from pytest_clusterjobs.ledger.ledger import Ledger
ledger = Ledger(Path(sys.argv[1]))
sys.stdin.read(1)
print(ledger.take_over(lambda owner: owner is None, owner={"pid": os.getpid()}))
"""


def test_one_of_several_processes_gets_the_run(tmp_path: Path) -> None:
    Ledger(tmp_path / "ledger.sqlite").close()
    command = [sys.executable, "-c", TAKE, str(tmp_path / "ledger.sqlite")]
    pipe = subprocess.PIPE
    processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(4)]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("g")
        process.stdin.flush()
    said = [process.communicate(timeout=60)[0].strip() for process in processes]
    assert said.count("None") == 1
    assert {text for text in said if text != "None"} == {f"{{'pid': {processes[said.index('None')].pid}}}"}


def test_an_owner_on_this_host_is_looked_up(tmp_path: Path) -> None:
    assert is_free(tmp_path, None)
    assert not is_free(tmp_path, this_process())
    assert is_free(tmp_path, {**this_process(), "started": 1}), "another process with its number"


def test_an_owner_on_another_host_is_dead_without_a_sign_of_life(tmp_path: Path) -> None:
    there = {"pid": 1, "started": 1, "host": f"not-{platform.node()}"}
    assert is_free(tmp_path, there), "an older version gave none at all"
    beat(tmp_path)
    assert not is_free(tmp_path, there)
    quiet = (tmp_path / "alive").stat().st_mtime - STALE_AFTER_SECONDS - 5
    os.utime(tmp_path / "alive", (quiet, quiet))
    found = silence(tmp_path)
    assert found is not None and found > STALE_AFTER_SECONDS
    assert is_free(tmp_path, there)
    assert [path.name for path in tmp_path.iterdir()] == ["alive"]


def test_a_run_that_another_session_owns_is_refused_in_one_line(tmp_path: Path) -> None:
    folder = tmp_path / ".clusterjobs" / "runs" / RUN
    with closing(Ledger(folder / "ledger.sqlite")) as ledger:
        ledger.take_over(lambda owner: True, owner={"pid": 7, "started": 1, "host": "elsewhere"})
    beat(folder)
    config = RunConfig(tmp_path, Site(), mode=Mode.RESUME)
    with pytest.raises(RunBusy, match=rf"^run {RUN} is still at work in process 7 on elsewhere$"):
        Run(config, folder, {})


def test_a_submission_in_flight_at_the_end_of_its_session_gets_its_time(tmp_path: Path) -> None:
    """Its intent is old and the cluster slow: a query at once would not find the job."""
    scripts = {"a": script(running(), (100, ended(0)), visible_after=15.0)}
    capabilities = Capabilities(min_poll_interval=1.0, find_settle=20.0)
    with engine_rig(tmp_path / "l.sqlite", scripts, capabilities=capabilities) as rig:
        cell = entry("a")
        token = str(Token.of(RUN, cell.key, 1))
        rig.ledger.register([cell])
        record(rig.ledger, intended=[Attempt(token, cell.key, 1, rig.clock.time() - 3600.0)])
        rig.backend.submit(cell.cell.spec, token)
        ordinary = rig.backend.find

        def find(token: str) -> FindAnswer:
            """A cluster that does not know the times of submissions."""
            answer = ordinary(token)
            return answer if isinstance(answer, Found) else NotSubmitted()

        rig.backend.find = find  # type: ignore[method-assign]
        earlier = Earlier([cell], {}, {cell.key: rig.ledger.attempts()})
        with rig.clock.auto():
            rig.engine.resume(earlier)
            result = rig.engine.next_result(86400.0)
            rig.engine.close(60.0)
        assert result is not None and result.judgement.verdict is Verdict.PASSED
        assert rig.backend.calls.submits[token] == 1, "by the first session"


@pytest.mark.parametrize(("reason", "reruns", "retries"), [("preempted", 0, 1), ("job_failed", 1, 0)])
def test_a_cancellation_by_a_dead_session_does_not_count_as_a_retry(
    tmp_path: Path, reason: str, reruns: int, retries: int
) -> None:
    """Attempts: failed before the crash, cancelled by it, failed after it. One more would be too many."""
    failing = script(running(), (10, ended(3)))
    if reason == "preempted":
        failing = script(running(), (10, ended(None, hint=Reason.PREEMPTED, word=None)))
    live = script(running(), cancelling=Cancelling())
    with engine_rig(tmp_path / "l.sqlite", {"a": [failing, live, failing, script(ended(0))]}) as rig:
        cell = replace(entry("a", infra_retries=retries), reruns=reruns)
        with rig.clock.auto():
            rig.engine.add([cell])
            while not (rig.ledger.attempts() and rig.ledger.attempts()[-1].number == 2):
                rig.engine.next_result(1.0)
            rig.until_live(1)
            (*_, second) = rig.ledger.attempts()
            record_action(rig.ledger, OwnAction(ActionKind.CANCEL, "the reaper"), [second.token])
            rig.engine.detach()
            again = Engine(replace(rig.config, mode=Mode.RESUME), RUN, rig.ledger, lambda name: rig.backend)
            again.resume(Earlier([cell], {}, {cell.key: rig.ledger.attempts()}))
            result = again.next_result(86400.0)
            again.close(60.0)
        assert result is not None
        assert [attempt.outcome and attempt.outcome.reason for attempt in rig.ledger.attempts()] == [
            reason,
            "cancelled",
            reason,
        ]


def test_a_resumed_session_cancels_and_names_a_job_that_the_ledger_does_not_know(tmp_path: Path) -> None:
    """Such as that of a session that was stopped, superseded and continued."""
    with engine_rig(tmp_path / "l.sqlite", {}, mode=Mode.RESUME) as rig:
        cell, stray = entry("a"), str(Token.of(RUN, "m.yaml::a", 7))
        rig.ledger.register([cell])
        rig.backend.default = script(running(), (5, ended(0)), cancelling=Cancelling())
        with rig.clock.auto():
            rig.engine.resume(Earlier([cell], {}, {}))
            assert rig.engine.next_result(600.0) is not None
            rig.backend.submit(cell.cell.spec, stray)
            rig.engine.close(60.0)
        assert rig.engine.strays == [stray]
        assert stray in rig.backend.calls.cancels and not rig.backend.live()


def test_the_end_of_a_resumed_session_waits_for_a_list_that_takes_long(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}, mode=Mode.RESUME) as rig:
        cell, stray = entry("a"), str(Token.of(RUN, "m.yaml::a", 7))
        rig.ledger.register([cell])
        rig.backend.default = script(running(), (5, ended(0)), cancelling=Cancelling())
        sweep = rig.backend.sweep

        def slowly(run_id: str) -> Mapping[str, Handle]:
            rig.clock.sleep(10.0)
            return sweep(run_id)

        with rig.clock.auto():
            rig.engine.resume(Earlier([cell], {}, {}))
            assert rig.engine.next_result(600.0) is not None
            rig.backend.sweep = slowly  # type: ignore[method-assign]
            rig.backend.default = script(running(), (600, ended(0)), cancelling=Cancelling())
            rig.backend.submit(cell.cell.spec, stray)
            rig.engine.close(1.5)
        assert rig.engine.strays == [stray]
