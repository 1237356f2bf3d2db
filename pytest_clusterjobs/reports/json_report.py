"""The JSON report, rebuilt from the ledger whenever it is written.

The ledger stores the project's dataclasses as JSON text. The report copies that text, so that even
10,000 cells are cheap.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ..ledger.ledger import AttemptTexts
from ..ledger.ledger import Ledger
from ..model import Verdict
from .verdicts import outcomes_by_item
from .verdicts import verdict_of

FORMAT_VERSION = 1

_UNSAFE = re.compile("[\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]")
"""Characters that JSON allows in a text although they can control a terminal or reorder what is shown."""


@dataclass(frozen=True, slots=True)
class CellLine:
    """One cell as shown in the reports: the stored texts, and the verdict derived from them."""

    key: str
    verdict: str | None
    """``None`` if there is none yet and the run continues."""
    judged: str | None
    """The verdict on the job alone; ``None`` if it has not ended."""
    reported: str | None
    """The outcome that pytest reported for the item, if any."""
    registration: str
    result: str | None
    attempts: tuple[AttemptTexts, ...]


def cell_lines(ledger: Ledger) -> Iterator[CellLine]:
    """Every cell of a run, in the order of registration."""
    meta = ledger.meta()
    # If a session left its jobs running, their verdicts are still open.
    ended = meta.get("ended") is not None and meta.get("mode") not in ("launch", "check")
    attempts: dict[str, list[AttemptTexts]] = {}
    for attempt in ledger.attempt_texts():
        attempts.setdefault(attempt.key, []).append(attempt)
    outcomes = outcomes_by_item(ledger.reported_outcomes())
    for key, registration, judged, result in ledger.cell_texts():
        reported = outcomes.get(key)
        verdict = verdict_of(judged, reported)
        if verdict is None and ended:
            verdict = Verdict.NOT_RUN.value
        yield CellLine(key, verdict, judged, reported, registration, result, tuple(attempts.get(key, ())))


def summarise(lines: Iterable[CellLine]) -> dict[str, int]:
    """The number of cells per verdict; cells without a verdict yet are ``pending``."""
    counts = Counter(line.verdict or "pending" for line in lines)
    names = [*map(str, Verdict), "pending"]
    return {"selected": counts.total(), **{name.replace(" ", "_"): counts[name] for name in names}}


def render(meta: Mapping[str, Any], lines: Sequence[CellLine], *, updated: float) -> bytes:
    """The whole report as JSON text in UTF-8; ``meta`` is the ledger's."""
    head: dict[str, Any] = {
        "format_version": FORMAT_VERSION,
        "generator": {"name": "pytest-clusterjobs", "version": meta.get("version")},
        "run": {
            "id": meta.get("run_id"),
            "started": meta.get("started"),
            "ended": meta.get("ended"),
            "updated": updated,
            "rootdir": meta.get("rootdir"),
            "on_crash": meta.get("on_crash"),
            "left_to_reaper": meta.get("left_to_reaper", 0),
        },
        "environment": meta.get("environment"),
        "git": meta.get("git"),
        "summary": summarise(lines),
    }
    cells = ",\n".join(map(_cell, lines))
    text = f'{json.dumps(head, indent=1)[:-2]},\n "cells": [\n{cells}\n ]\n}}\n'
    # The text must also be safe to print on a terminal. Lone surrogates can only be escaped in UTF-8.
    return _UNSAFE.sub(_escaped, text).encode("utf-8", "backslashreplace")


def _escaped(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _cell(line: CellLine) -> str:
    attempts = ", ".join(map(_attempt, line.attempts))
    fields = {
        "key": json.dumps(line.key),
        "verdict": json.dumps(line.verdict),
        "reported": json.dumps(line.reported),
        "registration": line.registration,
        "result": line.result or "null",
        "attempts": f"[{attempts}]",
    }
    return "  " + _object(fields)


def _attempt(attempt: AttemptTexts) -> str:
    fields = {
        "token": json.dumps(attempt.token),
        "number": str(attempt.number),
        "intended": json.dumps(attempt.intended),
        "spec": attempt.spec or "null",
        "submitted": json.dumps(attempt.submitted),
        "handle": attempt.handle or "null",
        "observation": attempt.observation or "null",
        "action": attempt.action or "null",
        "outcome": attempt.outcome or "null",
    }
    return _object(fields)


def _object(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f'"{name}": {text}' for name, text in fields.items()) + "}"
