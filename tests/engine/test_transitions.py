"""The three state machines of an attempt: their tables, their pictures, and what rests on a commit."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import fields
from enum import Enum
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.backends.protocol import NotSubmitted
from pytest_clusterjobs.engine.attempt import ActiveAttempt
from pytest_clusterjobs.engine.attempt import Cancellation
from pytest_clusterjobs.engine.attempt import CANCELLATION_EVENTS
from pytest_clusterjobs.engine.attempt import Event
from pytest_clusterjobs.engine.attempt import IGNORED
from pytest_clusterjobs.engine.attempt import IMPOSSIBLE
from pytest_clusterjobs.engine.attempt import Life
from pytest_clusterjobs.engine.attempt import LIFE_EVENTS
from pytest_clusterjobs.engine.attempt import SUBMISSION_EVENTS
from pytest_clusterjobs.engine.attempt import SubmissionState
from pytest_clusterjobs.engine.attempt import TRANSITIONS
from pytest_clusterjobs.engine.messages import Accepted
from pytest_clusterjobs.engine.messages import AnyEvent
from pytest_clusterjobs.engine.messages import Cancel
from pytest_clusterjobs.engine.messages import CellsAdded
from pytest_clusterjobs.engine.messages import Command
from pytest_clusterjobs.engine.messages import Commit
from pytest_clusterjobs.engine.messages import CommitFailed
from pytest_clusterjobs.engine.messages import Committed
from pytest_clusterjobs.engine.messages import Find
from pytest_clusterjobs.engine.messages import NotAccepted
from pytest_clusterjobs.engine.messages import Opened
from pytest_clusterjobs.engine.messages import PollJobs
from pytest_clusterjobs.engine.messages import Publish
from pytest_clusterjobs.engine.messages import ReadLogs
from pytest_clusterjobs.engine.messages import RESTS_ON_COMMIT
from pytest_clusterjobs.engine.messages import Stop
from pytest_clusterjobs.engine.messages import Submit
from pytest_clusterjobs.engine.messages import SubmitAnswer
from pytest_clusterjobs.engine.messages import Unanswered
from pytest_clusterjobs.engine.secrets import Secrets
from pytest_clusterjobs.engine.tracking import CANCEL_COMMIT_WAIT_SECONDS
from pytest_clusterjobs.ledger.batch import Batch
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Phase
from tests.engine.engine_rig import entry
from tests.engine.test_core import CoreRig
from tests.engine.test_core import ended
from tests.engine.test_core import FULL
from tests.engine.test_core import lossy
from tests.engine.test_core import NAME
from tests.engine.test_core import RUNNING
from tests.engine.test_core import silent
from tests.engine.test_core import STOPPED
from tests.engine.test_core import token

PAGE = Path(__file__).parent.parent.parent / "docs" / "architecture.md"

REGIONS: Sequence[tuple[type[Enum], Sequence[Event]]] = (
    (SubmissionState, SUBMISSION_EVENTS),
    (Life, LIFE_EVENTS),
    (Cancellation, CANCELLATION_EVENTS),
)
PAIRS = [(state, event) for region, events in REGIONS for state in region for event in events]

FIELDS = {
    "identity": ["registration", "number", "token", "secrets"],
    "regions": ["submission", "life", "cancellation"],
    "data": [
        "prepared", "handle", "observation", "action", "failed_restarts", "ruling", "result", "evidence", "why", "group",
        "is_inherited", "may_lack_action", "continues",
    ],
    "times": [
        "intended", "submitted", "submitted_at", "deferred_at", "due_at", "hooks_until", "polled_at",
        "answered_at", "unknown_at", "last_unknown_at", "awake_since",
    "shown_at", "running_at", "waiting_at", "waited", "rank_failed_at", "absent_at", "records_at", "unlisted_at", "last_unlisted_at",
        "stuck_at", "ended_at", "requested_at", "cancelled_at", "cancel_since",
    ],
    "budgets": ["retries", "reruns", "submissions"],
}  # fmt: skip
"""Every field of an attempt. A state belongs into one of the three regions, and not into another field."""


# The tables.


FIELD_OF: dict[type, str] = {
    SubmissionState: "submission",
    Life: "life",
    Cancellation: "cancellation",
}
"""The field of an attempt in which the state of a region lies."""


@pytest.mark.parametrize(("state", "event"), PAIRS, ids=lambda each: each.value)
def test_every_event_in_every_state_is_a_transition_ignored_or_impossible(state: Enum, event: Event) -> None:
    found = [(state, event) in TRANSITIONS, (state, event) in IGNORED, (state, event) in IMPOSSIBLE]
    assert sum(found) == 1


def test_the_tables_have_nothing_else() -> None:
    assert {*TRANSITIONS, *IGNORED, *IMPOSSIBLE} == set(PAIRS)
    assert len(PAIRS) == sum(len(region) * len(events) for region, events in REGIONS)
    assert sorted(Event, key=str) == sorted((each for _, events in REGIONS for each in events), key=str)


def test_a_transition_stays_in_its_region() -> None:
    assert [pair for pair, after in TRANSITIONS.items() if type(after) is not type(pair[0])] == []


def test_what_is_ignored_has_a_rule_in_words() -> None:
    assert [pair for pair, rule in IGNORED.items() if len(rule.split()) < 2] == []


@pytest.mark.parametrize("region", [region for region, _ in REGIONS])
def test_every_state_can_be_reached(region: type[Enum]) -> None:
    reached = {next(iter(region))}
    for _ in region:
        reached |= {after for (before, _), after in TRANSITIONS.items() if before in reached}
    assert reached == set(region)


@pytest.mark.parametrize(("state", "event"), sorted(IMPOSSIBLE, key=str))
def test_an_impossible_event_raises(state: Enum, event: Event) -> None:
    job = attempt()
    setattr(job, FIELD_OF[type(state)], state)
    with pytest.raises(AssertionError, match=event.value):
        job.move(event)


@pytest.mark.parametrize(("state", "event"), sorted(IGNORED, key=str))
def test_an_ignored_event_changes_nothing(state: Enum, event: Event) -> None:
    job = attempt()
    setattr(job, FIELD_OF[type(state)], state)
    assert job.move(event) is False
    assert getattr(job, FIELD_OF[type(state)]) is state


def attempt() -> ActiveAttempt:
    return ActiveAttempt(entry("a"), 1, token("a"), Secrets(Path("/nonexistent")))


# The fields.


def test_every_field_of_an_attempt_has_its_place() -> None:
    known = [name for names in FIELDS.values() for name in names]
    assert sorted(known) == sorted(each.name for each in fields(ActiveAttempt))
    types = {each.name: str(each.type) for each in fields(ActiveAttempt)}
    assert [name for name in known if types[name] == "bool"] == [
        "is_inherited",
        "may_lack_action",
    ]
    assert [name for name in known if name.endswith(("_at", "_until"))] == [
        name for name in FIELDS["times"] if name.endswith(("_at", "_until"))
    ]


# The pictures and tables of docs/architecture.md.


def diagram(region: type[Enum]) -> str:
    """The picture of a region, in the language of mermaid."""
    lines = ["stateDiagram-v2"]
    lines += [f'    state "{each.value}" as {ident(each)}' for each in region if " " in each.value]
    lines.append(f"    [*] --> {ident(next(iter(region)))}")
    labels: dict[tuple[str, str], list[str]] = {}
    for (state, event), after in TRANSITIONS.items():
        if isinstance(state, region):
            labels.setdefault((ident(state), ident(after)), []).append(event.value)
    lines += [f"    {before} --> {after} : {', '.join(each)}" for (before, after), each in labels.items()]
    return "\n".join(lines) + "\n"


def ident(state: Enum) -> str:
    return str(state.value).replace(" ", "_")


def edges(text: str) -> set[tuple[str, str, str]]:
    """The edges of a picture, one for each event."""
    found = re.findall(r"^ *(\w+) --> (\w+) : (.+)$", text, re.MULTILINE)
    return {(before, after, event) for before, after, label in found for event in label.split(", ")}


@pytest.mark.parametrize(("number", "region"), list(enumerate(region for region, _ in REGIONS)))
def test_the_pictures_show_the_transitions(number: int, region: type[Enum]) -> None:
    pictures = re.findall(r"^```mermaid\n(stateDiagram-v2\n.*?)^```", PAGE.read_text(), re.M | re.S)
    assert len(pictures) == len(REGIONS)
    assert edges(pictures[number]) == edges(diagram(region)), f"replace it with:\n{diagram(region)}"


def test_the_table_of_commands_is_complete_and_names_what_rests_on_a_commit() -> None:
    (table,) = re.findall(r"^\| command \|.*\n\|[-| ]+\n((?:\|.*\n)+)", PAGE.read_text(), re.M)
    rows = [row.strip("|\n ").split(" | ") for row in table.splitlines()]
    names = {name: row[-1] for row in rows for name in re.findall(r"`(\w+)`", row[0])}
    assert sorted(names) == sorted(each.__name__ for each in get_args(Command))
    rests = {name for name, rest in names.items() if "the commit" in rest}
    assert rests == {each.__name__ for each in RESTS_ON_COMMIT}


# What rests on a commit.


class CommitRig(CoreRig):
    """A core whose commits are answered one by one, and whose commands are checked against them."""

    def __init__(self, *names: str) -> None:
        self.batches: list[Batch] = []
        self.intents: set[str] = set()
        self.results: set[str] = set()
        super().__init__(answers={Commit: self._hold})
        accept = self.answers[Submit]
        self.answers[Submit] = lambda command: self._check_submit(command) or accept(command)
        self.answers[Publish] = self._check_publish
        self.give(Opened(NAME, Capabilities(submit_threads=2), False))
        self.give(CellsAdded([entry(name, infra_retries=1) for name in names]))

    def _hold(self, command: Commit) -> Sequence[AnyEvent]:
        self.batches = [command.batch]
        return ()

    def _check_submit(self, command: Submit) -> Sequence[AnyEvent]:
        assert {each for _, each in command.jobs} <= self.intents
        return ()

    def _check_publish(self, command: Publish) -> Sequence[AnyEvent]:
        assert command.result.key in self.results or self.core.broken is not None
        return ()

    def commit(self) -> None:
        for batch in self.batches:
            self.intents = self.intents.difference(batch.deleted) | batch.intended.keys()
            self.results |= {each.key for each in batch.results}
            self.batches = []
            self.give(Committed())

    def fail(self) -> None:
        if self.batches:
            self.batches = []
            self.give(CommitFailed(FULL))

    def step(self, step: float | SubmitAnswer | Observation | str) -> None:
        """Let time pass, change what the cluster answers or shows, or call a method of this rig."""
        match step:
            case float():
                self.until(self.at + step)
            case Observation():
                self.shown = dict.fromkeys([token(name, n) for name in "abc" for n in (1, 2)], step)
            case "stop":
                self.give(Stop())
            case str():
                getattr(self, step)()
            case _:
                self.submission = step


STEPS = st.sampled_from(
    [
        "commit", "commit", "commit", "commit", "fail", "stop", 0.1, 1.0, 10.0, 400.0,
        Accepted(Handle("1")), Accepted(Handle("1")), NotAccepted("quota"), Unanswered("reset"),
        RUNNING, ended(0), ended(1), STOPPED, Observation(Phase.ABSENT),
    ]
)  # fmt: skip


@settings(max_examples=100, derandomize=True, deadline=None, database=None)
@given(st.lists(STEPS, max_size=40))
def test_submissions_and_verdicts_follow_their_commits(steps: list[float | SubmitAnswer | str]) -> None:
    rig = CommitRig("a", "b", "c")
    for each in steps:
        rig.step(each)


def test_the_check_of_commits_sees_submissions_and_verdicts() -> None:
    rig = CommitRig("a", "b", "c")
    for each in ("commit", "commit", 1.0, ended(0), 10.0, "commit", "commit", 1.0, "commit"):
        rig.step(each)
    assert (len(rig.submitted()), len(rig.times(Publish))) == (3, 3)


def without_commits(rig: CoreRig) -> CoreRig:
    """The same rig; from now on no commit is ever answered."""
    rig.answers[Commit] = silent
    return rig


def test_polls_and_cancels_never_wait_for_a_commit() -> None:
    rig = CoreRig(entry("a"))
    rig.until(5.0)
    without_commits(rig).shown[token("a")] = RUNNING
    rig.until(10.0)
    rig.give(Stop())
    rig.until(20.0)
    assert rig.times(Cancel)[0] - 10.0 <= CANCEL_COMMIT_WAIT_SECONDS == 2.0
    polls = [at for at in rig.times(PollJobs) if at >= 5.0]
    assert len(polls) >= 10
    assert rig.core.state.outbox.error is None


def test_lookups_never_wait_for_a_commit() -> None:
    rig = without_commits(lossy(NotSubmitted()))
    rig.until(61.0)
    assert rig.times(Find) == [60.0]


def test_log_reads_never_wait_for_a_commit() -> None:
    rig = CoreRig(entry("a"))
    rig.until(0.5)
    without_commits(rig).shown[token("a")] = Observation(Phase.ENDED, exit_code=0)
    rig.until(2.0)
    assert rig.times(ReadLogs)
    assert rig.times(Publish) == []
