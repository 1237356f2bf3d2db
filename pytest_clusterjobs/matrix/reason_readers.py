"""Readers of reasons and exit codes."""

from __future__ import annotations

import re
from typing import Any

from ..model import ReasonClass
from ..model.text import quoted
from .nodes import Scalar
from .readers import fail
from .readers import text
from .readers import value_text
from .readers import whole
from .synonyms import is_nonzero_word
from .synonyms import reason_for

REASON_PATTERN = r"^[a-z][a-z0-9_]*$"


def reason_name(value: Any) -> str:
    """A reason's name."""
    if isinstance(value, Scalar) and value.kind == "int":
        fail(f"a reason is a word; {value[:10]} is an exit code: write exit_code: {value[:10]}")
    result = text(value)
    reason = reason_for(result)
    if reason is not None and not re.fullmatch(REASON_PATTERN, result):
        fail(f"{quoted(result)} is not a valid reason: write {reason}")
    return new_reason(value)


def new_reason(value: Any) -> str:
    """The name of an added reason."""
    result = text(value)
    if not re.fullmatch(REASON_PATTERN, result):
        fail(f"{quoted(result)} is not a valid reason: use lower-case words such as job_failed")
    return result


def reason_class(value: Any) -> ReasonClass:
    """The class of an added reason."""
    result = text(value)
    if result not in set(ReasonClass):
        fail(f"a reason's class is product, user or infra, not {quoted(result)}")
    return ReasonClass(result)


def expected_reasons(value: Any) -> Any:
    """Reasons; ``any`` must be the only one."""
    if isinstance(value, list) and len(value) > 1 and "any" in value:
        fail("`any` cannot be combined with other reasons")
    return value


def exit_code_or_nonzero(value: Any) -> Any:
    """An exit code, or the word ``nonzero``."""
    if isinstance(value, Scalar) and value == "nonzero":
        return "nonzero"
    if not isinstance(value, Scalar) or value.kind != "int":
        fail(
            f"an exit code is a whole number from 0 to 255 or nonzero, not {value_text(value)}{_code_hint(value)}"
        )
    return whole(0, 255)(value)


def _code_hint(value: Any) -> str:
    """End of a message about an invalid exit code: what to write instead."""
    if not isinstance(value, Scalar):
        return ""
    if is_nonzero_word(value):
        return ": write nonzero"
    reason = reason_for(value)
    return f": write reason: {reason}" if reason is not None else ""
