"""Cells in a plain pytest process: the engine lives here, and the loop follows the jobs."""

from __future__ import annotations

from collections.abc import Generator
from collections.abc import Sequence

import pytest

from .collect import CellItem
from .compat import stop_naming_files
from .compat import timeout_of
from .compat import will_be_skipped
from .engine.records import Registration
from .engine.records import Result
from .engine.run import Engine
from .loop import Remaining
from .owner import Owner
from .owner import plan_run
from .session import CellSession
from .session import Waiting
from .settings import Settings

TURN = 0.5
"""Seconds between two looks at Ctrl-C and the status line while nothing ends."""


def select(session: pytest.Session) -> list[CellItem]:
    """The cells of this session that will run, in order; none if the session is only for show."""
    option = session.config.option
    if option.collectonly or getattr(option, "setuponly", False):
        return []
    if session.testsfailed and not option.continue_on_collection_errors:
        return []
    cells = [item for item in session.items if isinstance(item, CellItem)]
    chosen = [item for item in cells if not will_be_skipped(item)]
    for item in chosen:
        item.will_run = True
    return chosen


def register(items: Sequence[CellItem]) -> list[Registration]:
    """The items as the engine and the ledger know them; one a key."""
    found: dict[str, Registration] = {}
    for item in items:
        assert item.parent is not None
        found.setdefault(item.key, Registration(item.key, item.parent.nodeid, item.cell, timeout_of(item)))
    return list(found.values())


class SingleProcess:
    """Starts the engine around pytest's loop, with exactly the cells that will run."""

    def __init__(self, config: pytest.Config, settings: Settings) -> None:
        self._config = config
        self._settings = settings

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> Generator[None, object, object]:
        """Submit everything ahead, and leave nothing running behind, however the loop ends."""
        items = select(session)
        if not items:
            return (yield)
        owner = Owner(self._config, self._settings, plan_run(self._settings))
        manager = self._config.pluginmanager
        with owner.running() as run:
            engine = run.engine
            results = Waiting(
                lambda key: engine.wait_for(key, TURN),
                lambda: engine.core.stopping,
                owner.progress.tick,
                lambda key, why: engine.cancel([key], why),
            )
            manager.register(owner, "clusterjobs-owner")
            manager.register(CellSession(self._config, results), "clusterjobs-session")
            self._loop.begin(engine, owner)
            engine.add(register(items))
            return (yield)

    @property
    def _loop(self) -> CompletionLoop:
        loop = self._config.pluginmanager.get_plugin("clusterjobs-loop")
        assert isinstance(loop, CompletionLoop)
        return loop


class CompletionLoop:
    """Pytest's loop with the cells in the order in which their jobs end; Python tests come first."""

    def __init__(self) -> None:
        self._engine: Engine | None = None
        self._owner: Owner | None = None

    def begin(self, engine: Engine, owner: Owner) -> None:
        """Called when there is an engine to follow."""
        self._engine = engine
        self._owner = owner

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool | None:
        """Run all items, or leave it to pytest's own loop."""
        if self._engine is None or self._owner is None or not self._owner.follows_completion:
            return None
        ready = [item for item in session.items if not (isinstance(item, CellItem) and item.will_run)]
        waiting = [item for item in session.items if isinstance(item, CellItem) and item.will_run]
        remaining = Remaining(waiting)
        for position, item in enumerate(ready):
            following = ready[position + 1] if position + 1 < len(ready) else waiting[0]
            _run(session, item, following)
        stop_naming_files(session.config)
        by_key = {item.key: item for item in waiting}
        while remaining:
            item = by_key[self._next_end().key]
            remaining.remove(item)
            _run(session, item, remaining.next_after(item))
        return True

    def _next_end(self) -> Result:
        assert self._engine is not None
        assert self._owner is not None
        while (result := self._engine.next_result(TURN)) is None:
            self._owner.progress.tick()
        return result


def _run(session: pytest.Session, item: pytest.Item, following: pytest.Item | None) -> None:
    item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
    if session.shouldfail:
        raise session.Failed(session.shouldfail)
    if session.shouldstop:
        raise session.Interrupted(session.shouldstop)
