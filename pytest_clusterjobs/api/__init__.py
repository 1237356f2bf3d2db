"""Jobs submitted one by one from Python, with the same engine, ledger, reaper and reports as cells."""

from __future__ import annotations

CANCELLED = "cancelled by its test"
NOT_AWAITED = "its submitter no longer waits for it"
