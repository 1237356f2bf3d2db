"""The loop that reports cells as their jobs end, and when the order of the files is kept instead."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest

from ..engine.run import Engine
from ..engine.run import TICK_SECONDS
from ..model.records import Result
from .compat import has_plugin
from .compat import notice_session_timeout
from .compat import stop_naming_files
from .items import CellItem

if TYPE_CHECKING:
    from .run_session import RunSession

_ORDERED = frozenset({"dependency", "depends", "incremental", "order"})
"""Marks that make a test's result depend on earlier tests: those of pytest-dependency, pytest-depends,
the recipe in pytest's own docs, and pytest-order."""

_ORDERING = frozenset({"run", "first", "second", "last", "second_to_last"})
"""The marks of pytest-ordering. Their names are so common that they count only if it is installed."""


def why_file_order(session: pytest.Session) -> str | None:
    """Why this session's items must run in file order; None if they need not."""
    config = session.config
    if has_plugin(config, "dependency") and config.getini("automark_dependency"):
        return "the ini option automark_dependency"
    known = _ORDERED | _ORDERING if has_plugin(config, "pytest_ordering") else _ORDERED
    found = {mark.name for item in session.items for mark in item.iter_markers()} & known
    return f"the mark {min(found)!r}" if found else None


def is_over(session: pytest.Session) -> bool:
    """Whether the session has been asked to end; checked while waiting for jobs."""
    notice_session_timeout(session)
    return bool(session.shouldfail or session.shouldstop)


def raise_if_over(session: pytest.Session) -> None:
    """Raise what pytest's own loop would raise between two items."""
    if is_over(session):
        raise (
            session.Failed(session.shouldfail)
            if session.shouldfail
            else session.Interrupted(session.shouldstop)
        )


class PendingItems:
    """Items that are still to be reported, by the collector that they belong to."""

    def __init__(self, items: Sequence[pytest.Item]) -> None:
        self._by_parent: dict[pytest.Collector, Counter[pytest.Item]] = {}
        for item in items:
            assert isinstance(item.parent, pytest.Collector)
            self._by_parent.setdefault(item.parent, Counter())[item] += 1
        self._shared: dict[tuple[pytest.Collector, pytest.Collector], int] = {}

    def __bool__(self) -> bool:
        return bool(self._by_parent)

    def __iter__(self) -> Iterator[pytest.Item]:
        for items in self._by_parent.values():
            yield from items.elements()

    def remove(self, item: pytest.Item) -> None:
        """Remove the item that is now being reported."""
        assert isinstance(item.parent, pytest.Collector)
        siblings = self._by_parent[item.parent]
        siblings[item] -= 1
        if not siblings[item]:
            del siblings[item]
        if not siblings:
            del self._by_parent[item.parent]

    def next_after(self, item: pytest.Item) -> pytest.Item | None:
        """The item to pass to pytest as the next one, while it is not known which job ends next.

        pytest tears down fixtures up to the collectors that the next item shares with this one. The item that
        shares fewest is correct whichever item follows: no fixture is kept that it would not allow.
        """
        here = item.parent
        assert isinstance(here, pytest.Collector)
        if not self._by_parent:
            return None
        least = min(self._by_parent, key=lambda parent: self._shares(here, parent))
        return next(iter(self._by_parent[least]))

    def _shares(self, one: pytest.Collector, other: pytest.Collector) -> int:
        pair = (one, other)
        if pair not in self._shared:
            chains = zip(one.listchain(), other.listchain(), strict=False)
            self._shared[pair] = sum(1 for left, right in chains if left is right)
        return self._shared[pair]


class CompletionLoop:
    """Pytest's loop, with Python tests first and then the cells in the order in which their jobs end."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._run_session: RunSession | None = None

    def begin(self, engine: Engine, run_session: RunSession) -> None:
        """Follow this engine. Called once it has started."""
        self._engine = engine
        self._run_session = run_session

    def run(self, session: pytest.Session) -> bool | None:
        """Run all items, or return None to leave them to pytest's own loop."""
        if self._engine is None or self._run_session is None or not self._run_session.follows_completion:
            return None
        if (why := why_file_order(session)) is not None:
            self._run_session.notes.append(f"cells are reported in file order, which {why} needs")
            return None
        waiting = [item for item in session.items if isinstance(item, CellItem) and self._has_result(item)]
        with_result = set(waiting)
        ready = [item for item in session.items if item not in with_result]
        remaining = PendingItems(waiting)
        for position, item in enumerate(ready):
            _run(session, item, next(iter([*ready[position + 1 : position + 2], *waiting[:1]]), None))
        stop_naming_files(session.config)
        by_key: dict[str, list[CellItem]] = {}
        for item in waiting:
            # With --keep-duplicates or a conftest the same cell may occur twice: one job, reported twice.
            by_key.setdefault(item.key, []).append(item)
        while remaining:
            # Jobs that tests submitted from Python also end here, and have no item of their own.
            for item in by_key.get(self._next_end(session).key, ()):
                remaining.remove(item)
                _run(session, item, remaining.next_after(item))
        return True

    def _has_result(self, item: CellItem) -> bool:
        """Whether the engine has or will have a result for this item."""
        return item.will_run and self._engine is not None and self._engine.expects(item.key)

    def _next_end(self, session: pytest.Session) -> Result:
        assert self._engine is not None
        assert self._run_session is not None
        engine = self._engine

        def next_result() -> Result | None:
            raise_if_over(session)
            return engine.next_result(TICK_SECONDS)

        return self._run_session.progress.until(next_result)


def _run(session: pytest.Session, item: pytest.Item, following: pytest.Item | None) -> None:
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    raise_if_over(session)
