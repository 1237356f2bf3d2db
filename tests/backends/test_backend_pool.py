"""The pool of a run's backends: each is opened once, on first use, and all are closed."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pytest_clusterjobs.backends.pool import BackendPool
from pytest_clusterjobs.backends.protocol import Backend
from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.testing import NoopBackend


class Closing(NoopBackend):
    def __init__(self, name: str, closed: list[str]) -> None:
        super().__init__()
        self._name = name
        self._closed = closed

    def close(self) -> None:
        self._closed.append(self._name)
        if self._name == "bad":
            raise BackendError("it does not close")


def test_each_name_is_opened_once_and_all_are_closed() -> None:
    closed: list[str] = []
    names: list[str] = []

    def open_backend(name: str) -> Backend:
        names.append(name)
        return Closing(name, closed)

    with BackendPool(open_backend) as backends:
        opened = backends.opened
        assert not opened
        assert backends("a") is backends("a") and backends("b") is not backends("a")
        assert list(opened) == names == ["a", "b"] and closed == []
    assert sorted(closed) == ["a", "b"]


def test_many_threads_open_one_backend() -> None:
    names: list[str] = []

    def open_backend(name: str) -> Backend:
        names.append(name)
        time.sleep(0.05)
        return NoopBackend()

    pool = BackendPool(open_backend)
    with ThreadPoolExecutor(8) as threads:
        found = set(map(id, threads.map(lambda _: pool("a"), range(8))))
    assert len(found) == 1 and names == ["a"]


def test_a_backend_that_could_not_be_opened_is_tried_again() -> None:
    answers: list[Exception | Backend] = [BackendError("not now"), NoopBackend()]

    def open_backend(name: str) -> Backend:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with BackendPool(open_backend) as backends:
        with pytest.raises(BackendError, match="not now"):
            backends("a")
        assert backends("a") is backends.opened["a"]


def test_a_backend_that_does_not_close_keeps_no_other_one_open() -> None:
    closed: list[str] = []
    pool = BackendPool(lambda name: Closing(name, closed))
    for name in ("a", "bad", "b"):
        pool(name)
    with pytest.raises(BackendError, match="does not close"):
        pool.close()
    assert sorted(closed) == ["a", "b", "bad"]


def test_the_modules_of_the_project_become_importable_after_all_others(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "path", ["/known", str(tmp_path)])
    with BackendPool(lambda name: NoopBackend(), [tmp_path, "/new"]):
        assert sys.path == ["/known", str(tmp_path), "/new"]
