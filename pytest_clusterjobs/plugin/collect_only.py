"""Sessions that collect but run nothing."""

from __future__ import annotations

import pytest

from ..reports.verdicts import NOT_RUN

WHY_NOTHING_KEY = pytest.StashKey[str]()
"""Why the session submits nothing although its items are run; set when its loop begins."""

AFTER_ERRORS = f"{NOT_RUN}nothing is submitted after errors in collection; --continue-on-collection-errors submits all the same"


def submits_nothing(session: pytest.Session) -> bool:
    """Whether the session submits nothing.

    pytest itself runs no items then, but an xdist worker still does after collection errors.
    """
    option = session.config.option
    if option.collectonly or getattr(option, "setuponly", False):
        return True
    if session.testsfailed and not option.continue_on_collection_errors:
        session.config.stash[WHY_NOTHING_KEY] = AFTER_ERRORS
        return True
    return False
