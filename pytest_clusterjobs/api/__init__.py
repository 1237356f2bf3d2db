"""Jobs submitted one by one from Python, with the same engine, ledger, reaper and reports as cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

FIXTURE = "clusterjobs"

CANCELLED = "cancelled by its test"
UNWANTED = "nobody waits for it any more"


def uses_jobs(session: pytest.Session) -> bool:
    """Whether a selected test requests the fixture ``clusterjobs``, directly or through another fixture."""
    return any(FIXTURE in getattr(item, "fixturenames", ()) for item in session.items)
