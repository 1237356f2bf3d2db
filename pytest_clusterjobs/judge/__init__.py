"""Observations to an outcome, an outcome to a verdict, as pure functions."""

from __future__ import annotations

from .classify import outcome
from .expect import judge
from .explain import failure_text
from .explain import headline
from .explain import summary

__all__ = ["failure_text", "headline", "judge", "outcome", "summary"]
