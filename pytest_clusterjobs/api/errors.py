"""What is raised where a job did not end as expected, in an item and in Python code."""

from __future__ import annotations


class CellEnd(Exception):
    """A cell that did not pass; the message is the whole explanation, ``summary`` its gist."""

    def __init__(self, text: str, summary: str) -> None:
        super().__init__(text)
        self.summary = summary


class UnmetExpectation(CellEnd, AssertionError):
    """The job ended otherwise than expected; an AssertionError, as what a test that fails raises."""


class InfrastructureError(CellEnd):
    """The cluster gave no answer about the product."""
