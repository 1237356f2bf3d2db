"""Exceptions for jobs that did not end as expected, raised in items and in Python code."""

from __future__ import annotations


class CellEnd(Exception):
    """A cell that did not pass. The message is the full explanation; ``summary`` is its short form."""

    def __init__(self, text: str, summary: str) -> None:
        super().__init__(text)
        self.summary = summary


class UnmetExpectation(CellEnd, AssertionError):
    """The job did not end as expected. An AssertionError, because the test fails."""


class InfrastructureError(CellEnd):
    """An infrastructure failure: the job's end says nothing about the product."""
