"""Which cells of a session run, and how they are registered: what one process and the xdist workers share."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from ..model.records import Registration
from .collect_only import submits_nothing
from .compat import marked
from .compat import reruns_of
from .compat import timeout_of
from .hookimpls import uses_jobs
from .items import CellItem


def submits_jobs(session: pytest.Session) -> bool:
    """Whether a test of this session submits jobs from Python, and will run."""
    return not submits_nothing(session) and uses_jobs(session)


def select(session: pytest.Session) -> list[CellItem]:
    """The cells of this session that will run, in order; empty if the session submits nothing."""
    if submits_nothing(session):
        return []
    cells = [item for item in session.items if isinstance(item, CellItem)]
    for item in cells:
        item.marked = marked(item)
        item.will_run = item.marked.runs
    return [item for item in cells if item.will_run]


def left_out(session: pytest.Session) -> dict[str, tuple[str, str]]:
    """The cells that a mark prevents from running, by key: the mark's name and its reason."""
    cells = [item for item in session.items if isinstance(item, CellItem)]
    return {item.key: item.marked.left_out for item in cells if item.marked.left_out is not None}


def register(items: Sequence[CellItem]) -> list[Registration]:
    """The items in the form used by the engine and the ledger, one per key."""
    found: dict[str, Registration] = {}
    for item in items:
        assert item.parent is not None
        if item.key not in found:
            xfail = item.marked.xfail
            found[item.key] = Registration(
                item.key,
                item.parent.nodeid,
                item.cell,
                timeout_of(item),
                reruns_of(item, {mark.name for mark in item.cell.marks}),
                xfails=() if xfail is None else (xfail,),
            )
    return list(found.values())
