"""``classify``: what a job's own words, its code and the scheduler's text say under a matrix's rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

from ..jobs import Classification
from ..jobs import ClassifyRule
from ..jobs import Observation
from ..jobs import Reason
from ..jobs import REASON_CLASSES
from .logs import read_log
from .logs import ReadLog
from .text import clean
from .text import quoted

FIELDS = ("reason", "exit_code", "restarts")
_NUMBER = re.compile(r"-?[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Reading:
    """What the rules filled; ``None`` where none of them had a word."""

    reason: str | None = None
    exit_code: int | None = None
    restarts: int | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    """For each filled field, the words that filled it, quoted."""
    problems: tuple[str, ...] = ()
    """Why a field that a rule should have filled cannot be known."""
    log_complete: bool = True
    """Whether every log that a rule needed was read to its end."""


@dataclass(frozen=True, slots=True)
class _Fill:
    value: str | int | None
    """``None``: the rule matched, but its words make no value."""
    words: str


@dataclass(slots=True)
class _Logs:
    """The last match of every log rule in every rank's log, found when the first rule asks."""

    patterns: Mapping[int, re.Pattern[str]]
    log: ReadLog | None
    ranks: int
    gaps: list[str] = field(default_factory=list)
    _matches: dict[int, list[dict[str, str | None]]] | None = None

    def matches(self, index: int) -> Sequence[Mapping[str, str | None]]:
        """The named groups of rule ``index``'s last match in each log that has one, by rank."""
        if self._matches is None:
            self._matches = {key: [] for key in self.patterns}
            for rank in range(self.ranks):
                self._search(rank, self._matches)
        return self._matches[index]

    def _search(self, rank: int, found: dict[int, list[dict[str, str | None]]]) -> None:
        log = read_log(self.log, rank)
        if log.gap:
            self.gaps.append(log.gap)
        for index, pattern in self.patterns.items():
            last = None
            for match in pattern.finditer(log.text):
                last = match
            if last is not None:
                found[index].append(last.groupdict())


def read_rules(
    classification: Classification,
    observation: Observation,
    *,
    code: int | None,
    log: ReadLog | None,
    nodes: int,
    only: Sequence[str] = FIELDS,
) -> Reading:
    """Apply the rules in order; the first to fill a field of ``only`` keeps it.

    Logs are read when the first rule needs one: a rule whose fields are all filled needs none.
    ``code`` is the code that ``exit_code`` rules compare with.
    """
    if not classification.rules:
        return Reading()
    patterns = {
        i: re.compile(r.log, re.MULTILINE) for i, r in enumerate(classification.rules) if r.log is not None
    }
    logs = _Logs(patterns, log, nodes)
    filled: dict[str, _Fill] = {}
    for index, rule in enumerate(classification.rules):
        if not (_fields(rule, patterns.get(index)) & set(only)) - filled.keys():
            continue
        for name, fill in _apply(classification, rule, index, logs, observation, code):
            if name in only:
                filled.setdefault(name, fill)
    return _reading(filled, logs.gaps)


def _fields(rule: ClassifyRule, pattern: re.Pattern[str] | None) -> set[str]:
    fields = set() if pattern is None else set(pattern.groupindex) & set(FIELDS)
    return fields | {"reason"} if rule.reason is not None else fields


def _apply(
    classification: Classification,
    rule: ClassifyRule,
    index: int,
    logs: _Logs,
    observation: Observation,
    code: int | None,
) -> Iterator[tuple[str, _Fill]]:
    if rule.log is not None:
        yield from _from_logs(classification, rule, logs.matches(index))
    elif rule.reason is None:
        return
    elif rule.exit_code is not None and rule.exit_code == code:
        yield "reason", _word(classification, rule.reason, f"exit code {code}")
    elif rule.status is not None:
        seen = _status(rule.status, observation)
        if seen is not None:
            yield "reason", _word(classification, rule.reason, f"status {quoted(seen)}")


def _status(pattern: str, observation: Observation) -> str | None:
    for text in (observation.native_state, observation.native_reason):
        match = re.search(pattern, clean(text), re.MULTILINE)
        if match is not None:
            return match[0]
    return None


def _from_logs(
    classification: Classification, rule: ClassifyRule, matches: Sequence[Mapping[str, str | None]]
) -> Iterator[tuple[str, _Fill]]:
    """One fill a field. Ranks may disagree: a rank that says something is wrong is believed before one that does not."""
    fills: dict[str, list[_Fill]] = {name: [] for name in FIELDS}
    for groups in matches:
        for name, fill in _fill_from_groups(classification, rule, groups):
            fills[name].append(fill)
    for name, values in fills.items():
        if values:
            yield name, max(values, key=_size if name == "restarts" else _bad_news)


def _bad_news(fill: _Fill) -> bool:
    return fill.value not in {Reason.JOB_COMPLETED, 0}


def _size(fill: _Fill) -> float:
    return fill.value if isinstance(fill.value, int) else float("inf")


def _fill_from_groups(
    classification: Classification, rule: ClassifyRule, groups: Mapping[str, str | None]
) -> Iterator[tuple[str, _Fill]]:
    word = groups.get("reason")
    if word is not None:
        yield "reason", _captured(classification, word.strip())
    elif rule.reason is not None:
        yield "reason", _word(classification, rule.reason, "the log matches")
    for name in ("exit_code", "restarts"):
        text = groups.get(name)
        if text is None:
            continue
        value = int(text) if _NUMBER.fullmatch(text.strip()) is not None else None
        words = f"the log says {name} {quoted(text)}"
        yield name, _Fill(value, words if value is not None else f"{words}, which is no number")


def _captured(classification: Classification, word: str) -> _Fill:
    translated = classification.translate.get(word)
    if translated is None:
        return _word(classification, word, f"the log says {quoted(word)}")
    return _word(
        classification, translated, f"the log says {quoted(word)}, translated to {quoted(translated)}"
    )


def _word(classification: Classification, word: str, words: str) -> _Fill:
    if word in REASON_CLASSES or word in classification.reasons:
        return _Fill(word, words)
    return _Fill(Reason.UNKNOWN, f"{words}, and {quoted(word)} is no reason")


def _reading(filled: Mapping[str, _Fill], gaps: Sequence[str]) -> Reading:
    reason, exit_code, restarts = (filled[name].value if name in filled else None for name in FIELDS)
    return Reading(
        None if reason is None else str(reason),
        exit_code if isinstance(exit_code, int) else None,
        restarts if isinstance(restarts, int) else None,
        {name: fill.words for name, fill in filled.items()},
        (*gaps, *(fill.words for fill in filled.values() if fill.value is None)),
        log_complete=not gaps,
    )
