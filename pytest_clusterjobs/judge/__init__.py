"""Observations to an outcome, an outcome to a verdict: pure functions."""

from __future__ import annotations

from .classify import outcome
from .expect import judge
from .explain import failure_text
from .explain import headline
from .explain import summary
from .text import clean
from .text import printable

__all__ = ["clean", "failure_text", "headline", "judge", "outcome", "printable", "summary"]
