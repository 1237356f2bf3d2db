"""Changes of the ledger: one transaction at a time, and what rests on each."""

from __future__ import annotations

from pytest_clusterjobs.engine.outbox import COMMIT_RETRY_SECONDS
from pytest_clusterjobs.engine.outbox import COMMIT_TIMEOUT_SECONDS
from pytest_clusterjobs.engine.outbox import Outbox
from pytest_clusterjobs.ledger.batch import Batch
from pytest_clusterjobs.model import ActionKind
from pytest_clusterjobs.model import OwnAction
from pytest_clusterjobs.model.records import Attempt

FULL = OSError("disk full")


def attempt(name: str) -> Attempt:
    return Attempt(name, f"m.yaml::{name}", 1, 0.0)


def batches(outbox: Outbox, now: float = 0.0) -> list[Batch]:
    commit = outbox.next(now)
    return [] if commit is None else [commit.batch]


def call(outbox: Outbox) -> None:
    """Report the commit, and call what rested on it."""
    for then in outbox.committed():
        then()


def test_changes_are_collected_while_a_commit_is_under_way() -> None:
    outbox = Outbox()
    outbox.intend(attempt("a"))
    (first,) = batches(outbox)
    outbox.intend(attempt("b"))
    outbox.intend(attempt("c"))
    assert batches(outbox) == []
    call(outbox)
    (second,) = batches(outbox)
    assert (list(first.intended), list(second.intended)) == (["a"], ["b", "c"])


def test_what_rests_on_a_change_is_called_after_its_own_commit() -> None:
    outbox, called = Outbox(), list[str]()
    outbox.intend(attempt("a"), lambda: called.append("a"))
    batches(outbox)
    outbox.intend(attempt("b"), lambda: called.append("b"))
    assert called == []
    call(outbox)
    assert called == ["a"]
    batches(outbox)
    call(outbox)
    assert called == ["a", "b"]
    assert outbox.is_empty


def test_what_rests_on_nothing_new_need_not_wait() -> None:
    outbox, called = Outbox(), list[str]()
    outbox.after(lambda: called.append("now"))
    assert not outbox.is_empty
    for then in outbox.take_idle():
        then()
    assert (called, outbox.is_empty) == (["now"], True)


def test_what_rests_on_a_commit_under_way_is_not_idle() -> None:
    outbox = Outbox()
    outbox.intend(attempt("a"))
    batches(outbox)
    outbox.after(lambda: None)
    assert outbox.take_idle() == []


def test_an_intent_that_is_withdrawn_before_its_commit_is_not_written() -> None:
    outbox = Outbox()
    outbox.intend(attempt("a"))
    outbox.withdraw("a")
    (batch,) = batches(outbox)
    assert (batch.intended, batch.deleted) == ({}, ["a"])


def test_a_failed_commit_is_tried_again_with_the_same_batch() -> None:
    outbox = Outbox()
    outbox.intend(attempt("a"))
    (first,) = batches(outbox)
    outbox.failed(FULL, 10.0, for_good=False)
    outbox.intend(attempt("b"))
    assert outbox.wake_at == 10.0 + COMMIT_RETRY_SECONDS[0]
    assert batches(outbox, 10.4) == []
    (again,) = batches(outbox, 10.5)
    assert again is first
    assert outbox.error is None


def test_after_three_failures_the_ledger_is_lost() -> None:
    outbox, called = Outbox(), list[str]()
    outbox.intend(attempt("a"), lambda: called.append("a"))
    now = 0.0
    for pause in (*COMMIT_RETRY_SECONDS, 0.0):
        assert len(batches(outbox, now)) == 1
        assert outbox.error is None
        outbox.failed(FULL, now, for_good=False)
        now += pause
    assert outbox.error is FULL
    assert (batches(outbox, 99.0), outbox.wake_at, called) == ([], None, [])


def test_a_commit_that_succeeds_restores_all_tries() -> None:
    outbox = Outbox()
    for round_ in range(5):
        outbox.intend(attempt(f"a{round_}"))
        batches(outbox)
        outbox.failed(FULL, 0.0, for_good=False)
        assert len(batches(outbox, 1.0)) == 1
        call(outbox)
    assert outbox.error is None


def test_a_failure_for_good_is_not_tried_again() -> None:
    outbox = Outbox()
    outbox.intend(attempt("a"))
    batches(outbox)
    outbox.failed(FULL, 0.0, for_good=True)
    assert (outbox.error, batches(outbox, 99.0)) == (FULL, [])


def test_a_commit_without_an_answer_counts_as_failed_for_good() -> None:
    outbox = Outbox()
    outbox.intend(attempt("a"))
    batches(outbox, 5.0)
    assert outbox.wake_at == 5.0 + COMMIT_TIMEOUT_SECONDS
    assert (batches(outbox, 904.9), outbox.error) == ([], None)
    assert batches(outbox, 905.0) == []
    assert isinstance(outbox.error, TimeoutError)


def test_a_withdrawn_token_takes_its_action_along() -> None:
    """A later session may use the token again, and would find the action."""
    outbox = Outbox()
    outbox.action("a", OwnAction(ActionKind.CANCEL, "the session ended"))
    outbox.withdraw("a")
    (batch,) = batches(outbox)
    assert (batch.actions, batch.deleted) == ([], ["a"])
