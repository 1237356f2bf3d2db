"""The scripted cluster reproduces the behaviour of real schedulers."""

from __future__ import annotations

import pytest

from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.backends.protocol import Found
from pytest_clusterjobs.backends.protocol import NotSubmitted
from pytest_clusterjobs.backends.protocol import SubmissionRejected
from pytest_clusterjobs.backends.protocol import Throttled
from pytest_clusterjobs.backends.protocol import Unknown
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import NodeState
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model import Times
from pytest_clusterjobs.model.token import Token
from pytest_clusterjobs.testing import ManualClock
from pytest_clusterjobs.testing import NOOP
from pytest_clusterjobs.testing import NoopBackend
from pytest_clusterjobs.testing import Script
from pytest_clusterjobs.testing import ScriptedBackend
from pytest_clusterjobs.testing.scripts import absent
from pytest_clusterjobs.testing.scripts import ACCEPT
from pytest_clusterjobs.testing.scripts import Cancelling
from pytest_clusterjobs.testing.scripts import ended
from pytest_clusterjobs.testing.scripts import FAIL
from pytest_clusterjobs.testing.scripts import LOSE
from pytest_clusterjobs.testing.scripts import missing
from pytest_clusterjobs.testing.scripts import pending
from pytest_clusterjobs.testing.scripts import PrintedLine
from pytest_clusterjobs.testing.scripts import rank
from pytest_clusterjobs.testing.scripts import reject
from pytest_clusterjobs.testing.scripts import restarted
from pytest_clusterjobs.testing.scripts import running
from pytest_clusterjobs.testing.scripts import script
from pytest_clusterjobs.testing.scripts import slowly
from pytest_clusterjobs.testing.scripts import THROTTLE

RUN = "20261121t101112-ab"


def token(attempt: int = 1, run: str = RUN) -> str:
    return str(Token.of(run, "m.yaml::cell", attempt))


class Bench:
    """One scripted job on its clock."""

    def __init__(self, life: Script, nodes: int = 1, **rest: float) -> None:
        self.clock = ManualClock(epoch=1000.0)
        self.backend = ScriptedBackend(self.clock, {"cell": life}, capabilities=Capabilities(**rest))  # type: ignore[arg-type]
        self.spec = JobSpec("true", name="cell", nodes=nodes)

    def submit(self) -> Handle:
        return self.backend.submit(self.spec, token())

    def poll(self) -> Observation:
        return self.backend.poll({token(): Handle(None, {"token": token()})})[token()]

    def phases(self, *moments: float) -> list[Phase]:
        seen = []
        for moment in moments:
            self.clock.advance(moment - self.clock.monotonic())
            seen.append(self.poll().phase)
        return seen


def test_a_job_follows_its_script() -> None:
    bench = Bench(script(pending("Resources"), (5, running()), (60, ended(3))))
    bench.submit()
    assert bench.poll().native_reason == "Resources"
    assert bench.phases(4, 5, 59, 60) == [Phase.PENDING, Phase.RUNNING, Phase.RUNNING, Phase.ENDED]
    end = bench.poll()
    assert end.exit_code == 3
    assert end.times == Times(1000.0, 1005.0, 1060.0)
    assert end.nodes == (NodeState(0, 3, report=SentinelReport(SentinelWord.EXITED, 0, 3)),)


def test_a_scheduler_may_revise_its_reports() -> None:
    bench = Bench(
        script(running(), (1, ended(0)), (2, running()), (3, pending()), (4, absent()), (5, ended(7)))
    )
    bench.submit()
    phases = bench.phases(0, 1, 2, 3, 4, 5)
    assert [phase.value for phase in phases] == ["running", "ended", "running", "pending", "absent", "ended"]


def test_restarts_are_counted() -> None:
    bench = Bench(script(running(), (10, restarted()), (20, restarted()), (30, ended(0))))
    bench.submit()
    bench.clock.advance(30)
    assert bench.poll().restarts == 2
    assert bench.poll().nodes[0].report == SentinelReport(SentinelWord.EXITED, 0, 0, restarts=2)


def test_each_rank_may_have_its_own_exit_code() -> None:
    bench = Bench(script(ended(0, nodes=[rank(0, 0), rank(1, 9), rank(2, None, None)])), nodes=3)
    bench.submit()
    assert [node.exit_code for node in bench.poll().nodes] == [0, 9, None]


def test_an_id_may_come_late() -> None:
    bench = Bench(script(pending(), id_after=30))
    assert bench.submit().job_id is None
    bench.clock.advance(29)
    handle = bench.poll().handle
    assert handle is not None and handle.job_id is None
    bench.clock.advance(1)
    handle = bench.poll().handle
    assert handle is not None and handle.job_id == "1"


def test_a_job_may_be_invisible_at_first() -> None:
    bench = Bench(script(running(), visible_after=10), find_settle=20.0)
    bench.submit()
    assert bench.poll().phase is Phase.ABSENT
    assert isinstance(bench.backend.find(token()), Unknown)
    assert not bench.backend.sweep(RUN)
    bench.clock.advance(10)
    assert bench.poll().phase is Phase.RUNNING
    assert isinstance(bench.backend.find(token()), Found)
    assert list(bench.backend.sweep(RUN)) == [token()]


@pytest.mark.parametrize(
    ("answer", "error", "exists"),
    [
        (reject("no such queue"), SubmissionRejected, False),
        (LOSE, BackendError, True),
        (FAIL, BackendError, False),
        (THROTTLE, Throttled, False),
    ],
)
def test_a_submission_may_fail(answer: object, error: type[Exception], exists: bool) -> None:
    bench = Bench(script(running(), answers=(answer, ACCEPT)))
    with pytest.raises(error):
        bench.submit()
    assert isinstance(bench.backend.find(token()), Found if exists else NotSubmitted)
    bench.submit()
    assert bench.backend.calls.submits == {token(): 2}
    assert len(bench.backend.jobs) == 1


def test_a_submission_may_be_slow() -> None:
    bench = Bench(script(running(), answers=(slowly(8.0),)))
    with bench.clock.auto():
        bench.submit()
    assert bench.clock.monotonic() == 8.0
    assert bench.backend.job("cell").accepted == 8.0


def test_each_attempt_may_have_its_own_script() -> None:
    lives = [script(ended(None, hint=Reason.PREEMPTED)), script(ended(0))]
    backend = ScriptedBackend(ManualClock(), {"cell": lives})
    tokens = [token(1), token(2), token(3)]
    handles = {each: backend.submit(JobSpec("true", name="cell"), each) for each in tokens}
    polled = backend.poll(handles)
    assert [polled[each].exit_code for each in tokens] == [None, 0, 0]
    assert polled[token(1)].reason_hint is Reason.PREEMPTED


def test_a_cancel_ends_a_job_after_a_while() -> None:
    bench = Bench(script(running(), cancelling=Cancelling(after=15)))
    handle = bench.submit()
    bench.clock.advance(5)
    bench.backend.cancel({token(): handle})
    assert bench.phases(19, 20) == [Phase.RUNNING, Phase.ENDED]
    assert bench.poll().reason_hint is Reason.CANCELLED
    assert not bench.backend.live()


def test_a_cancel_may_be_ignored_or_be_too_late() -> None:
    stubborn = Bench(script(running(), cancelling=Cancelling(after=None)))
    stubborn.backend.cancel({token(): stubborn.submit()})
    assert stubborn.phases(3600) == [Phase.RUNNING]
    late = Bench(script(running(), (3, ended(0)), cancelling=Cancelling(after=10)))
    late.backend.cancel({token(): late.submit()})
    late.clock.advance(60)
    assert late.poll().exit_code == 0
    assert late.backend.calls.cancels == {token(): 1}


def test_a_poll_may_omit_a_job() -> None:
    bench = Bench(script(running(), (1, missing()), (2, running())))
    handle = bench.submit()
    bench.clock.advance(1)
    assert bench.backend.poll({token(): handle}) == {}
    assert bench.phases(2) == [Phase.RUNNING]


def test_the_api_may_be_down_and_every_call_is_counted() -> None:
    bench = Bench(script(running()))
    bench.submit()
    bench.backend.outage(10, 5, error=Throttled("slow down"))
    assert bench.phases(9) == [Phase.RUNNING]
    bench.clock.advance(3)
    with pytest.raises(Throttled, match="slow down"):
        bench.poll()
    assert bench.phases(15) == [Phase.RUNNING]
    assert [poll.at for poll in bench.backend.calls.polls] == [9.0, 12.0, 15.0]
    assert bench.backend.calls.ids_polled == {token(): 3}


def test_the_next_calls_may_fail() -> None:
    bench = Bench(script(running()))
    bench.backend.fail_next("submit", 2)
    for _ in range(2):
        with pytest.raises(BackendError):
            bench.submit()
    assert bench.submit().job_id == "1"


def test_a_poll_of_too_many_ids_is_rejected() -> None:
    bench = Bench(script(running()), ids_per_poll=2)
    with pytest.raises(BackendError, match="maximum number of jobs is 2"):
        bench.backend.poll({str(i): Handle(None, {"token": str(i)}) for i in range(3)})


def test_a_log_grows_and_may_be_complete_late_or_never() -> None:
    lines = (PrintedLine(1, "one\n"), PrintedLine(2, "two\n"), PrintedLine(2, "other\n", node=1))
    bench = Bench(script(running(), (5, ended(0)), log=lines, log_after=3.0))
    handle = bench.submit()
    bench.clock.advance(1)
    first = bench.backend.logs(handle)
    assert (first.text, first.complete) == ("one\n", False)
    bench.clock.advance(5)
    assert bench.backend.logs(handle, cursor=first.cursor).text == ""
    assert not bench.poll().log_complete
    bench.clock.advance(2)
    rest = bench.backend.logs(handle, cursor=first.cursor)
    assert (rest.text, rest.complete) == ("two\n", True)
    assert bench.backend.logs(handle, node=1).text == "other\n"
    assert bench.backend.logs(handle, tail=3).text == "wo\n"


def test_a_sweep_returns_jobs_of_its_run_only() -> None:
    backend = ScriptedBackend(ManualClock(), default=script(running()))
    others = [token(run=f"{RUN}c"), token(run=f"{RUN}-c")]
    for each in (token(), *others):
        backend.submit(JobSpec("true"), each)
    assert list(backend.sweep(RUN)) == [token()]


def test_noop_jobs_end_at_once_on_every_node(tmp_path: object) -> None:
    backend = NoopBackend()
    handle = backend.submit(JobSpec("true", nodes=2), "t")
    first, again = (backend.poll({"t": handle})["t"] for _ in range(2))
    assert first == again
    assert first.phase is Phase.ENDED
    assert [node.exit_code for node in first.nodes] == [0, 0]
    assert backend.find("t") == Found(handle)
    assert backend.logs(handle).complete
    assert NOOP.name == "noop"
