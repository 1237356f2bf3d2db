"""Due times by name."""

from __future__ import annotations

from hypothesis import given
from hypothesis import settings
from hypothesis import strategies as st

from pytest_clusterjobs.engine.agenda import Agenda


def agenda(**times: float) -> Agenda:
    made = Agenda()
    for name, at in times.items():
        made.set(name, at)
    return made


def test_names_are_taken_by_time_and_then_in_the_order_of_their_setting() -> None:
    assert agenda(c=2.0, a=1.0, b=1.0, late=9.0).take(2.0) == ["a", "b", "c"]


def test_what_was_taken_is_gone() -> None:
    one = agenda(a=1.0, b=2.0)
    assert (one.take(1.0), one.take(1.0), "a" in one, len(one)) == (["a"], [], False, 1)


def test_the_last_setting_counts() -> None:
    one = agenda(a=1.0)
    one.set("a", 5.0)
    assert (one.next_at, one.take(4.0), one.take(5.0)) == (5.0, [], ["a"])


def test_at_most_only_makes_a_time_earlier() -> None:
    one = agenda(a=3.0)
    one.at_most("a", 5.0)
    assert one.next_at == 3.0
    one.at_most("a", 1.0)
    assert one.next_at == 1.0


def test_a_dropped_name_is_not_due() -> None:
    one = agenda(a=1.0, b=2.0)
    one.drop("a")
    one.drop("unknown")
    assert (one.next_at, one.take(9.0)) == (2.0, ["b"])


def test_one_name_is_taken_at_a_time() -> None:
    one = agenda(a=1.0, b=2.0)
    assert [one.take_one(1.5), one.take_one(1.5), one.take_one(2.0), one.take_one(9.0)] == [
        "a", None, "b", None,
    ]  # fmt: skip


def test_a_cleared_agenda_has_nothing() -> None:
    one = agenda(a=1.0)
    one.clear()
    assert (one.next_at, len(one)) == (None, 0)


CALLS = st.tuples(st.sampled_from(["set", "at_most", "drop"]), st.sampled_from("abc"), st.integers(0, 5))


@settings(max_examples=100, derandomize=True, deadline=None, database=None)
@given(st.lists(CALLS, max_size=30), st.integers(0, 5))
def test_it_agrees_with_a_plain_dict(calls: list[tuple[str, str, int]], until: int) -> None:
    one, known = Agenda(), dict[str, float]()
    for call, name, at in calls:
        if call == "drop":
            one.drop(name)
            known.pop(name, None)
        elif call == "set":
            one.set(name, at)
            known[name] = at
        else:
            one.at_most(name, at)
            known[name] = min(at, known.get(name, at))
    assert one.next_at == min(known.values(), default=None)
    due = {name: at for name, at in known.items() if at <= until}
    taken = one.take(until)
    assert [due[name] for name in taken] == sorted(due.values())
    assert len(one) == len(known) - len(due)
