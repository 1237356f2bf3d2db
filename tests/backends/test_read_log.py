"""``read_log``: where it begins, goes on and stops."""

from __future__ import annotations

from typing import Any

from pytest_clusterjobs.backends.logs import read_log
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import LogChunk


class Answers:
    """A backend that gives these chunks in turn, and notes what is asked."""

    def __init__(self, *chunks: LogChunk) -> None:
        self._chunks = iter(chunks)
        self.calls: list[tuple[Any, int | None]] = []

    def logs(self, handle: Handle, *, node: int, restart: int | None, cursor: Any, tail: Any) -> LogChunk:
        self.calls.append((cursor, tail))
        return next(self._chunks)


def texts(backend: Answers, **options: Any) -> list[str]:
    return [chunk.text for chunk in read_log(backend.logs, Handle("1"), **options)]


def test_it_goes_on_from_each_cursor_to_the_end() -> None:
    backend = Answers(LogChunk("a", 1), LogChunk("b", 2), LogChunk("c", 3, complete=True))
    assert texts(backend) == ["a", "b", "c"]
    assert backend.calls == [(None, None), (1, None), (2, None)]


def test_it_stops_at_an_empty_chunk() -> None:
    assert texts(Answers(LogChunk("a", 1), LogChunk("", 1))) == ["a", ""]


def test_it_stops_where_the_cursor_does_not_move() -> None:
    assert texts(Answers(LogChunk("a", 1), LogChunk("b", 1))) == ["a", "b"]
    assert texts(Answers(LogChunk("a", 7)), cursor=7) == ["a"]


def test_it_stops_without_a_cursor_instead_of_beginning_again() -> None:
    assert texts(Answers(LogChunk("a", 1), LogChunk("b"))) == ["a", "b"]


def test_only_the_first_call_asks_for_the_tail() -> None:
    backend = Answers(LogChunk("a", 1), LogChunk("b", 2, complete=True))
    texts(backend, tail=100)
    assert backend.calls == [(None, 100), (1, None)]
