"""Whether a failed attempt is retried: ``retryStrategy`` with ``evaluateOnExit``."""

from __future__ import annotations

from .model import ContainerAttempt
from .model import Json


def wants_retry(strategy: Json, attempt: ContainerAttempt, number: int) -> bool:
    """Whether the failed attempt ``number`` (from 1) is retried."""
    if number >= strategy.get("attempts", 1):
        return False
    for rule in strategy.get("evaluateOnExit", ()):
        if _matches(rule, attempt):
            return str(rule["action"]).upper() == "RETRY"
    return True


def _matches(rule: Json, attempt: ContainerAttempt) -> bool:
    code = None if attempt.exit_code is None else str(attempt.exit_code)
    seen = (
        (rule.get("onStatusReason"), attempt.status_reason),
        (rule.get("onReason"), attempt.reason),
        (rule.get("onExitCode"), code),
    )
    return all(_fits(pattern, text) for pattern, text in seen if pattern is not None)


def _fits(pattern: str, text: str | None) -> bool:
    """A star at the end matches any text; case is ignored."""
    if text is None:
        return False
    pattern, text = pattern.lower(), text.lower()
    return text.startswith(pattern[:-1]) if pattern.endswith("*") else text == pattern
