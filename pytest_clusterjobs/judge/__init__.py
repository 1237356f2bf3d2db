"""Observations to an outcome, an outcome to a verdict, as pure functions."""

from __future__ import annotations

from ..model.text import clean
from ..model.text import printable
from .classify import outcome
from .expect import judge
from .explain import failure_text
from .explain import headline
from .explain import summary

__all__ = ["clean", "failure_text", "headline", "judge", "outcome", "printable", "summary"]
