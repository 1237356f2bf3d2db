"""The reaper: whatever became of its owner, the ledger and the clusters, no job of the run lives on."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.engine.limits import ABSENT_AFTER_SECONDS
from pytest_clusterjobs.engine.reap import CONFIRMATION_TIMEOUT_SECONDS
from pytest_clusterjobs.engine.reap import reap
from pytest_clusterjobs.engine.reaper import start_reaper
from pytest_clusterjobs.engine.secrets import Secrets
from pytest_clusterjobs.ledger.ledger import Ledger
from pytest_clusterjobs.model import ActionKind
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model.records import Attempt
from pytest_clusterjobs.model.token import Token
from pytest_clusterjobs.testing import ManualClock
from pytest_clusterjobs.testing import ScriptedBackend
from pytest_clusterjobs.testing.scripts import absent
from pytest_clusterjobs.testing.scripts import Cancelling
from pytest_clusterjobs.testing.scripts import ended
from pytest_clusterjobs.testing.scripts import running
from pytest_clusterjobs.testing.scripts import Script
from pytest_clusterjobs.testing.scripts import script
from tests.engine.engine_rig import entry
from tests.engine.engine_rig import RUN
from tests.ledger.writes import record


def test_it_ends_with_a_run_that_is_closed_in_order(tmp_path: Path) -> None:
    reaper = start_reaper(tmp_path, {})
    reaper.release(cancel=False)
    assert (tmp_path / "reaper.log").read_text() == ""
    assert not (tmp_path / "ledger.sqlite").exists(), "a reaper with nothing to do opens nothing"


def test_it_imports_nothing_heavy_before_it_is_needed(tmp_path: Path) -> None:
    script = "import sys, pytest_clusterjobs.engine.reaper; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    assert not loaded & {"sqlite3", "pydantic", "pytest", "yaml", "pytest_clusterjobs.engine.kill"}


OWNER = """
import os, time
from pathlib import Path
from pytest_clusterjobs.ledger.ledger import Ledger
from pytest_clusterjobs.engine.reaper import start_reaper
folder = Path({folder!r})
ledger = Ledger(folder / "ledger.sqlite")
ledger.set_meta(run_id="r", rootdir=str(folder), backends={{}}, on_crash="cancel")
reaper = start_reaper(folder, ledger.meta())
child = os.fork()
if child == 0:
    time.sleep(60)
print(child, flush=True)
time.sleep(60)
"""


def test_it_notices_the_owners_death_even_if_a_child_holds_its_socket(tmp_path: Path) -> None:
    """multiprocessing's fork copies every descriptor; the owner's pidfd is the owner's."""
    script = OWNER.format(folder=str(tmp_path))
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    child = int(process.stdout.readline())
    process.kill()
    process.wait()
    process.stdout.close()
    try:
        with closing(Ledger(tmp_path / "ledger.sqlite")) as ledger:
            until = time.monotonic() + 30
            while "owner_died" not in ledger.meta():
                assert time.monotonic() < until, "the reaper did not notice"
                time.sleep(0.02)
    finally:
        os.kill(child, signal.SIGKILL)


class Rig:
    """A run whose owner has died, on a scripted cluster."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ledger = Ledger(folder / "ledger.sqlite")
        self.clock = ManualClock()
        self.ledger.set_meta(run_id=RUN, rootdir=str(folder), backends={}, on_crash="cancel")
        assert self.ledger.take_over(lambda owner: True, owner={"pid": 1}) is None
        self.backend = ScriptedBackend(self.clock)

    def cluster(self, scripts: dict[str, Script], **capabilities: float) -> None:
        kind = Capabilities(min_poll_interval=1.0, **capabilities)  # type: ignore[arg-type]
        self.backend = ScriptedBackend(self.clock, scripts, default=script(running()), capabilities=kind)

    def intend(self, name: str, number: int = 1) -> Attempt:
        cell = entry(name)
        attempt = Attempt(str(Token.of(RUN, cell.key, number)), cell.key, number, self.clock.time())
        self.ledger.register([cell])
        record(self.ledger, intended=[attempt])
        return attempt

    def submit(self, name: str, number: int = 1, *, noted: bool = True) -> Attempt:
        attempt = self.intend(name, number)
        handle = self.backend.submit(entry(name).cell.spec, attempt.token)
        if noted:
            record(self.ledger, submitted=[replace(attempt, submitted=self.clock.time(), handle=handle)])
        return attempt

    def begin(self, scripts: dict[str, Script], **capabilities: float) -> None:
        self.cluster(scripts, **capabilities)
        for name in scripts:
            self.submit(name)

    def reap(self, **facts: Any) -> None:
        said = {**{key: value for key, value in self.ledger.meta().items() if key != "owner"}, **facts}
        with self.clock.auto():
            reap(self.folder, said, ["scripted"], died=True, clock=self.clock)

    @property
    def cancelled(self) -> set[str]:
        return {Token.parse(token).cell for token in self.backend.calls.cancels}


def cell(name: str) -> str:
    return Token.of(RUN, f"m.yaml::{name}", 1).cell


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    found = Rig(tmp_path)
    monkeypatch.setattr(Site, "open", lambda self, name, **context: found.backend)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield found
    found.ledger.close()


def test_live_jobs_are_cancelled_and_what_ended_by_itself_is_left_to_be_judged(rig: Rig) -> None:
    rig.begin({"done": script(ended(3)), "live": script(running())})
    rig.reap()
    assert rig.cancelled == {cell("live")}
    done, live = rig.ledger.attempts(live=True)
    assert (done.action, live.action and live.action.kind) == (None, ActionKind.CANCEL)
    assert done.observation is not None and done.observation.exit_code == 3
    assert live.observation is not None and live.observation.phase is Phase.ENDED
    assert rig.ledger.results() == {}
    assert rig.backend.closed


def test_it_writes_no_secret_down(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", "swordfish")
    Secrets(rig.folder).learn([JobSpec("true", secrets=("PASSWORD",))])
    monkeypatch.delenv("PASSWORD")
    end = ended(None, hint=Reason.CANCELLED, native_reason="cancelled, it had swordfish")
    rig.begin({"a": script(running(), cancelling=Cancelling(then=end))})
    rig.reap()
    (attempt,) = rig.ledger.attempts(live=True)
    assert attempt.observation is not None
    assert attempt.observation.native_reason == "cancelled, it had ***"


def test_jobs_that_are_to_be_kept_are_kept(rig: Rig) -> None:
    rig.begin({"live": script(running())})
    rig.reap(on_crash="keep")
    assert not rig.cancelled
    assert "owner_died" in rig.ledger.meta()


def test_a_moment_of_absence_is_no_end(rig: Rig) -> None:
    rig.begin({"a": script(running(), (1, absent()), (20, running()), cancelling=Cancelling(after=60.0))})
    rig.clock.advance(2)
    rig.reap()
    assert rig.clock.monotonic() >= 60, "it was there again, and had not ended"


def test_lasting_absence_is_the_end_of_a_job_that_was_cancelled(rig: Rig) -> None:
    rig.begin({"a": script(running())})
    rig.backend.jobs.clear()
    rig.reap()
    assert ABSENT_AFTER_SECONDS <= rig.clock.monotonic() < CONFIRMATION_TIMEOUT_SECONDS


def test_a_submission_that_nobody_recorded_is_found_when_it_can_be(rig: Rig) -> None:
    rig.cluster({"late": script(running(), visible_after=8.0)}, find_settle=20.0)
    rig.submit("late", noted=False)
    rig.intend("never")
    rig.clock.advance(3600)
    rig.submit("just", noted=False)
    rig.reap()
    assert rig.cancelled == {cell("late"), cell("just")}
    assert rig.clock.monotonic() >= 3620, "an intent is older than its submission may be"


def test_an_api_that_fails_for_minutes_is_outlasted(rig: Rig) -> None:
    rig.begin({"a": script(running())})
    rig.backend.outage(0, 400, calls=("poll", "sweep", "find", "cancel"))
    rig.reap()
    assert rig.cancelled == {cell("a")}
    assert not rig.backend.live()


def test_a_cluster_that_does_not_answer_may_still_listen(rig: Rig) -> None:
    rig.begin({"a": script(running())})
    rig.backend.outage(0, 1e6, calls=("poll", "sweep", "find"))
    rig.reap()
    assert not rig.backend.live()
    assert rig.clock.monotonic() >= CONFIRMATION_TIMEOUT_SECONDS, "no poll confirmed the end"


def test_what_a_later_session_submits_is_not_touched(rig: Rig) -> None:
    rig.begin({"a": script(running(), cancelling=Cancelling(after=30.0)), "b": script(running())})
    ordinary = rig.backend.sweep

    def sweep(run_id: str) -> Any:
        if rig.clock.monotonic() > 5 and "b" in rig.backend.scripts:
            # A resume begins between two looks of the reaper, in the middle of one of them.
            del rig.backend.scripts["b"]
            assert rig.ledger.take_over(lambda owner: True, owner={"pid": 2}) is None
            rig.submit("b", 2)
        return ordinary(run_id)

    rig.backend.sweep = sweep  # type: ignore[method-assign]
    rig.reap()
    assert [Token.parse(token).attempt for token in rig.backend.live()] == [1, 2], "a and b's new attempt"
    assert {(attempt.key, attempt.number) for attempt in rig.ledger.attempts() if attempt.action} == {
        ("m.yaml::a", 1),
        ("m.yaml::b", 1),
    }


def test_a_reaper_that_comes_too_late_does_nothing(rig: Rig) -> None:
    rig.begin({"a": script(running())})
    before = rig.ledger.meta()["session"]
    rig.ledger.take_over(lambda owner: True, owner={"pid": 2})
    rig.reap(session=before)
    assert not rig.cancelled
    assert rig.ledger.attempts()[0].action is None


def test_a_torn_ledger_leaves_what_the_cluster_lists(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    rig.begin({"a": script(running()), "b": script(running(), visible_after=15.0)}, find_settle=20.0)
    facts = rig.ledger.meta()
    rig.ledger.close()
    (rig.folder / "ledger.sqlite").write_bytes(b"torn" * 2000)
    for name in ("ledger.sqlite-wal", "ledger.sqlite-shm"):
        (rig.folder / name).unlink(missing_ok=True)
    with rig.clock.auto():
        reap(rig.folder, facts, ["scripted"], died=True, clock=rig.clock)
    assert rig.cancelled == {cell("a"), cell("b")}
    assert "ledger.sqlite: file is not a database" in capfd.readouterr().out
    rig.ledger = Ledger(Path(":memory:"))


def test_a_ledger_that_lost_its_end_is_no_later_session(rig: Rig, capfd: pytest.CaptureFixture[str]) -> None:
    rig.begin({"a": script(running()), "b": script(running())})
    session = rig.ledger.meta()["session"]
    rig.ledger.set_meta(session=session - 1)
    rig.reap(session=session)
    assert rig.cancelled == {cell("a"), cell("b")}
    assert "truncated: it lacks what its last session wrote" in capfd.readouterr().out


def test_thousands_of_jobs_are_asked_about_in_full_batches(rig: Rig) -> None:
    jobs = 2000
    rig.cluster({}, ids_per_poll=500)
    rig.backend.default = script(running(), cancelling=Cancelling(after=3.0))
    cells = [entry(f"j{number}") for number in range(jobs)]
    attempts = [Attempt(str(Token.of(RUN, each.key, 1)), each.key, 1, rig.clock.time()) for each in cells]
    rig.ledger.register(cells)
    handles = [rig.backend.submit(each.cell.spec, a.token) for each, a in zip(cells, attempts, strict=True)]
    landed = [replace(a, submitted=1.0, handle=h) for a, h in zip(attempts, handles, strict=True)]
    record(rig.ledger, intended=attempts, submitted=landed)
    rig.reap()
    calls = rig.backend.calls
    assert not rig.backend.live()
    assert [len(poll.tokens) for poll in calls.polls[:4]] == [500] * 4
    assert len(calls.polls) <= 4 * 6
    assert calls.sweeps < 20
    assert calls.cancel_calls <= 4
    assert not calls.finds


STUBBORN = '''
"""A cluster that refuses every other question, and dies by being cancelled."""

from pytest_clusterjobs.backends.protocol import BackendType
from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason


class Stubborn:
    capabilities = Capabilities(find_settle=2.0)

    def __init__(self, folder):
        self.cancelled = folder / "cancelled.txt"
        self.calls = 0

    def poll(self, handles):
        self.calls += 1
        if not self.cancelled.exists() and self.calls > 1:
            raise ConnectionResetError("an error that is no BackendError")
        return {token: Observation(Phase.ABSENT) for token in handles}

    def cancel(self, handles):
        if self.calls > 1:
            self.cancelled.write_text(" ".join(handles))

    def sweep(self, run_id):
        return {}

    def close(self):
        pass


TYPE = BackendType("stubborn", lambda context: Stubborn(context.run_dir))
'''


def test_it_needs_neither_a_writable_ledger_nor_a_cluster_in_good_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "clusterjobs_stubborn.py").write_text(STUBBORN)
    monkeypatch.setattr(sys, "path", [*sys.path])
    ledger = Ledger(tmp_path / "ledger.sqlite")
    backends = {"broken": {"type": "no_such_module:TYPE"}, "scripted": {"type": "clusterjobs_stubborn:TYPE"}}
    ledger.set_meta(run_id=RUN, rootdir=str(tmp_path), backends=backends)
    broken = replace(entry("b").cell, backend="broken")
    ledger.register([replace(entry("b"), cell=broken), entry("a")])
    attempts = [Attempt("t-b", "m.yaml::b", 1, 1.0), Attempt("t-a", "m.yaml::a", 1, 1.0)]
    record(ledger, intended=attempts, submitted=[replace(a, handle=Handle(a.token, {})) for a in attempts])
    with closing(sqlite3.connect(ledger.path)) as other:
        for table in ("meta", "actions", "observations"):
            other.execute(
                f"CREATE TRIGGER full_{table} BEFORE INSERT ON {table}"
                " BEGIN SELECT RAISE(ROLLBACK, 'database or disk is full'); END"
            )
    clock = ManualClock()
    with clock.auto():
        reap(tmp_path, {}, [], died=True, clock=clock)
    assert (tmp_path / "cancelled.txt").read_text() == "t-a"
    assert clock.monotonic() < CONFIRMATION_TIMEOUT_SECONDS, "a backend that cannot be had is not waited for"
    ledger.close()
