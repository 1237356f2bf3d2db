"""Killing a run's jobs from outside: what counts as a confirmed end, and what does not."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.engine.kill import Canceller
from pytest_clusterjobs.engine.limits import ABSENT_AFTER_SECONDS
from pytest_clusterjobs.engine.secrets import Secrets
from pytest_clusterjobs.ledger.ledger import Ledger
from pytest_clusterjobs.ledger.ledger import Superseded
from pytest_clusterjobs.model import ActionKind
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Verdict
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
from tests.ledger.writes import delete_intents
from tests.ledger.writes import observe
from tests.ledger.writes import record


class Rig:
    """A run without a session, on a scripted cluster."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.clock = ManualClock()

    def begin(self, scripts: dict[str, Script], **capabilities: float) -> None:
        """Submit a job a script, as a session would have."""
        kind = Capabilities(min_poll_interval=1.0, **capabilities)  # type: ignore[arg-type]
        self.backend = ScriptedBackend(self.clock, scripts, capabilities=kind)
        for name in scripts:
            cell = entry(name)
            token = str(Token.of(RUN, cell.key, 1))
            self.ledger.register([cell])
            attempt = Attempt(token, cell.key, 1, self.clock.time())
            record(self.ledger, intended=[attempt])
            handle = self.backend.submit(cell.cell.spec, token)
            landed = replace(attempt, submitted=self.clock.time(), handle=handle)
            record(self.ledger, submitted=[landed])

    def kill(
        self,
        patience: float = 120.0,
        keys: Collection[str] | None = None,
        before: Callable[[], object] = lambda: None,
    ) -> Canceller:
        """Kill; ``before`` is called when it has begun, and has not asked the cluster yet."""
        killer = Canceller(
            self.ledger,
            Secrets(self.ledger.path.parent),
            RUN,
            lambda name: self.backend,
            ["scripted"],
            keys,
            "clusterjobs kill",
            self.clock,
        )
        before()
        with self.clock.auto():
            killer.run(patience)
            killer.settle()
            killer.close()
        return killer

    def verdicts(self) -> dict[str, Verdict]:
        return {
            key.rpartition("::")[2]: each.judgement.verdict for key, each in self.ledger.results().items()
        }


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    ledger = Ledger(tmp_path / "ledger.sqlite")
    yield Rig(ledger)
    ledger.close()


def test_a_kill_lasts_until_the_cluster_confirms_it(rig: Rig) -> None:
    rig.begin({"slow": script(running(), cancelling=Cancelling(after=40.0))})
    assert not rig.kill().still_running
    assert rig.clock.monotonic() >= 40
    assert rig.verdicts() == {"slow": Verdict.NOT_RUN}


def test_a_job_that_does_not_end_survives_and_gets_no_verdict(rig: Rig) -> None:
    rig.begin({"stubborn": script(running(), cancelling=Cancelling(after=None))})
    (survivor,) = rig.kill().still_running
    assert rig.backend.calls.cancels[survivor.token] > 1
    assert rig.verdicts() == {}


def test_what_ended_by_itself_is_neither_cancelled_nor_judged(rig: Rig) -> None:
    rig.begin({"done": script(ended(3)), "live": script(running())})
    assert not rig.kill().still_running
    assert set(rig.backend.calls.cancels) == {str(Token.of(RUN, "m.yaml::live", 1))}
    assert rig.verdicts() == {"live": Verdict.NOT_RUN}


def test_the_action_is_recorded_before_the_cluster_is_asked(rig: Rig) -> None:
    rig.begin({"a": script(running())})
    rig.backend.fail_next("cancel")
    rig.kill(0.0)
    (attempt,) = rig.ledger.attempts()
    assert attempt.action is not None
    assert attempt.action.kind is ActionKind.CANCEL
    assert attempt.outcome is None


def test_a_job_that_the_cluster_lists_before_the_ledger_has_it_is_one_of_the_killed_too(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    rig.begin({"a": script(running(), cancelling=Cancelling(after=5.0))})
    (attempt,) = rig.ledger.attempts()
    delete_intents(rig.ledger, [attempt.token])
    sweep = rig.backend.sweep

    def slow_sweep(run_id: str) -> Mapping[str, Handle]:
        found = sweep(run_id)
        record(rig.ledger, intended=[attempt], submitted=[attempt])
        return found

    monkeypatch.setattr(rig.backend, "sweep", slow_sweep)
    assert not rig.kill().still_running
    assert rig.verdicts() == {"a": Verdict.NOT_RUN}


def test_an_end_that_a_session_has_seen_is_left_to_it(rig: Rig) -> None:
    rig.begin({"a": script(running())})
    (attempt,) = rig.ledger.attempts()
    seen = Observation(Phase.ENDED, exit_code=3)
    observe(rig.ledger, rig.clock.time(), changed=[(attempt.token, seen, None)])
    rig.backend.outage(0, 500, calls=("poll",))
    rig.kill(5.0)
    (attempt,) = rig.ledger.attempts()
    assert attempt.action is None and not rig.backend.calls.cancels


def test_the_jobs_of_a_session_that_begins_meanwhile_are_left_to_it(rig: Rig) -> None:
    rig.begin({"a": script(running())})
    with pytest.raises(Superseded, match="a later session has begun"):
        rig.kill(before=lambda: rig.ledger.take_over(lambda owner: True, owner={"pid": 7}))
    (attempt,) = rig.ledger.attempts()
    assert attempt.action is None and not rig.backend.calls.cancels


def test_an_error_of_the_api_is_no_end(rig: Rig) -> None:
    rig.begin({"a": script(running())})
    rig.backend.outage(0, 500, calls=("poll", "sweep"))
    killer = rig.kill()
    assert len(killer.still_running) == 1
    assert killer.errors == {"scripted": "503 Service Unavailable"}
    assert not rig.kill(600.0).still_running


def test_a_moment_of_absence_is_no_end(rig: Rig) -> None:
    flapping = script(running(), (1, absent()), (5, running()), cancelling=Cancelling(after=None))
    rig.begin({"a": flapping})
    rig.clock.advance(2)
    assert len(rig.kill(60.0).still_running) == 1


def test_a_cancelled_job_that_stays_away_has_ended(rig: Rig) -> None:
    rig.begin({"a": script(running())})
    rig.backend.jobs.clear()
    assert not rig.kill().still_running
    assert rig.clock.monotonic() >= ABSENT_AFTER_SECONDS
    assert rig.verdicts() == {"a": Verdict.NOT_RUN}


def test_absence_is_no_end_while_a_list_shows_the_job(rig: Rig) -> None:
    rig.begin({"a": script(running(), (1, absent()), cancelling=Cancelling(after=1, then=absent()))})
    assert len(rig.kill().still_running) == 1


def test_a_large_run_is_polled_in_pieces(rig: Rig) -> None:
    rig.begin({f"j{number}": script(running()) for number in range(7)}, ids_per_poll=3)
    assert not rig.kill().still_running
    assert max(len(poll.tokens) for poll in rig.backend.calls.polls) == 3


def test_only_the_cells_that_are_meant(rig: Rig) -> None:
    rig.begin({"a": script(running()), "b": script(running())})
    rig.kill(keys={"m.yaml::a"})
    assert rig.verdicts() == {"a": Verdict.NOT_RUN}
    assert len(rig.backend.live()) == 1
