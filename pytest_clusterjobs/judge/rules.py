"""``classify``: reads a job's output, its exit code and the scheduler's text by a matrix's rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field

from ..model import Classification
from ..model import ClassifyRule
from ..model import Observation
from ..model import Reason
from ..model import REASON_CLASSES
from ..model.text import clean
from ..model.text import quoted_output
from .captures import Capture
from .lines import lines_from_the_end
from .logs import read_log
from .logs import ReadLog
from .naming import rule_capture
from .patterns import BadPattern
from .patterns import line_pattern
from .searching import first_match

FIELDS = ("reason", "exit_code", "restarts")
_NUMBER = re.compile(r"-?[0-9]{1,9}", re.ASCII)


@dataclass(frozen=True, slots=True)
class RuleReading:
    """The fields that the rules filled; ``None`` for a field that no rule filled."""

    reason: str | None = None
    exit_code: int | None = None
    restarts: int | None = None
    words: Mapping[str, str] = field(default_factory=dict)
    """For each filled field, the text that filled it, quoted_output."""
    problems: tuple[str, ...] = ()
    """Why a field that a rule should have filled cannot be known."""
    log_complete: bool = True
    """Whether every log that a rule needed was read to its end."""


@dataclass(frozen=True, slots=True)
class _Fill:
    value: str | int | None
    """``None``: the rule matched, but its text is not a valid value."""
    words: str


_Words = Mapping[str, tuple[str, str]]
"""By field: what the log reports for it, and why that is not a valid value (empty if it may be one)."""


@dataclass(slots=True)
class _Logs:
    """What the last match of every log rule reads, by rank; searched when the first rule needs it."""

    rules: Mapping[int, Mapping[str, Capture]]
    log: ReadLog | None
    ranks: int
    gaps: list[str] = field(default_factory=list)
    _words: dict[int, dict[int, _Words]] | None = None

    def words(self, index: int) -> Mapping[int, _Words]:
        """By rank, what rule ``index`` reads in the logs that have something for it."""
        if self._words is None:
            self._words = {key: {} for key in self.rules}
            for rank in range(self.ranks):
                self._search(rank, self._words)
        return self._words[index]

    def _search(self, rank: int, found: dict[int, dict[int, _Words]]) -> None:
        log = read_log(self.log, rank)
        if log.gap:
            self.gaps.append(log.gap)
        for index, captures in self.rules.items():
            words = _last_words(captures, log.text)
            if words is not None:
                found[index][rank] = words


def _captures(pattern: str) -> dict[str, Capture]:
    """How a log rule's groups are read, in their order in the pattern. Raises BadPattern."""
    groups = line_pattern(pattern).groupindex
    return {name: rule_capture(pattern, name, word=name == "reason") for name in groups if name in FIELDS}


def _last_words(captures: Mapping[str, Capture], text: str) -> _Words | None:
    """The values of the last line in which the rule's pattern matches, or in which only its name occurs."""
    first = next(iter(captures.values()), None)
    if first is None:
        return None
    for line in lines_from_the_end(text, first.literal):
        found = first.occurrences(line)
        if found and first.is_bare(found[-1]):
            return dict.fromkeys(captures, first.value(found[-1]))
        if found:
            return {
                name: each.value(found[-1]) for name, each in captures.items() if found[-1][name] is not None
            }
    return None


def read_rules(
    classification: Classification,
    observation: Observation,
    *,
    code: int | None,
    log: ReadLog | None,
    nodes: int,
    only: Sequence[str] = FIELDS,
) -> RuleReading:
    """Apply the rules in order; the first to fill a field of ``only`` keeps it.

    Logs are read when the first rule needs one: a rule whose fields are all filled needs none.
    ``code`` is the code that ``exit_code`` rules compare with.
    """
    if not classification.rules:
        return RuleReading()
    try:
        log_rules = {i: _captures(r.log) for i, r in enumerate(classification.rules) if r.log is not None}
        for rule in classification.rules:
            line_pattern(rule.status or "-")
    except BadPattern as error:
        return RuleReading(problems=(f"a rule cannot be used: {error}",))
    logs = _Logs(log_rules, log, nodes)
    filled: dict[str, _Fill] = {}
    for index, rule in enumerate(classification.rules):
        if not (_fields(rule, log_rules.get(index, {})) & set(only)) - filled.keys():
            continue
        for name, fill in _apply(classification, rule, index, logs, observation, code):
            if name in only:
                filled.setdefault(name, fill)
    return _reading(filled, logs.gaps)


def _fields(rule: ClassifyRule, captures: Mapping[str, Capture]) -> set[str]:
    return {*captures, "reason"} if rule.reason is not None else set(captures)


def _apply(
    classification: Classification,
    rule: ClassifyRule,
    index: int,
    logs: _Logs,
    observation: Observation,
    code: int | None,
) -> Iterator[tuple[str, _Fill]]:
    if rule.log is not None:
        yield from _from_logs(classification, rule, logs.words(index), logs.ranks, logs.rules[index])
    elif rule.reason is None:
        return
    elif rule.exit_code is not None and rule.exit_code == code:
        yield "reason", _word(classification, rule.reason, f"exit code {code}")
    elif rule.status is not None:
        seen = _status(rule.status, observation)
        if seen is not None:
            yield "reason", _word(classification, rule.reason, f"status {quoted_output(seen)}")


def _status(pattern: str, observation: Observation) -> str | None:
    for text in (observation.native_state, observation.native_reason):
        match = first_match(pattern, clean(text))
        if match is not None:
            return match[0]
    return None


def _from_logs(
    classification: Classification,
    rule: ClassifyRule,
    words: Mapping[int, _Words],
    ranks: int,
    captures: Mapping[str, Capture],
) -> Iterator[tuple[str, _Fill]]:
    """One fill a field. If ranks disagree, a rank that reports a problem decides over one that does not."""
    silent = [rank for rank in range(ranks) if rank not in words]
    if rule.required and silent:
        why = f"the log of rank {silent[0]} has no line for a rule that requires one"
        for name in captures:
            yield name, _Fill(Reason.UNKNOWN if name == "reason" else None, why)
        return
    fills: dict[str, list[_Fill]] = {name: [] for name in FIELDS}
    for rank in sorted(words):
        for name, fill in _fill_from_words(classification, rule, words[rank]):
            fills[name].append(fill)
    for name, values in fills.items():
        if values:
            yield name, max(values, key=_size if name == "restarts" else _bad_news)


def _bad_news(fill: _Fill) -> bool:
    return fill.value not in {Reason.JOB_COMPLETED, 0}


def _size(fill: _Fill) -> float:
    return fill.value if isinstance(fill.value, int) else float("inf")


def _fill_from_words(
    classification: Classification, rule: ClassifyRule, words: _Words
) -> Iterator[tuple[str, _Fill]]:
    if "reason" in words:
        word, flaw = words["reason"]
        yield "reason", _Fill(Reason.UNKNOWN, f"reason: {flaw}") if flaw else _captured(classification, word)
    elif rule.reason is not None:
        yield "reason", _word(classification, rule.reason, "the log matches")
    for name in ("exit_code", "restarts"):
        if name in words:
            yield name, _whole_number(name, *words[name])


def _whole_number(name: str, text: str, flaw: str) -> _Fill:
    if flaw:
        return _Fill(None, f"{name}: {flaw}")
    value = int(text) if _NUMBER.fullmatch(text) is not None else None
    words = f"the log reports {name} {quoted_output(text)}"
    return _Fill(value, words if value is not None else f"{words}, which is not a number")


def _captured(classification: Classification, word: str) -> _Fill:
    translated = classification.translate.get(word)
    if translated is None:
        return _word(classification, word, f"the log reports {quoted_output(word)}")
    return _word(
        classification,
        translated,
        f"the log reports {quoted_output(word)}, translated to {quoted_output(translated)}",
    )


def _word(classification: Classification, word: str, words: str) -> _Fill:
    if word in REASON_CLASSES or word in classification.reasons:
        return _Fill(word, words)
    return _Fill(Reason.UNKNOWN, f"{words}, and {quoted_output(word)} is not a known reason")


def _reading(filled: Mapping[str, _Fill], gaps: Sequence[str]) -> RuleReading:
    reason, exit_code, restarts = (filled[name].value if name in filled else None for name in FIELDS)
    return RuleReading(
        None if reason is None else str(reason),
        exit_code if isinstance(exit_code, int) else None,
        restarts if isinstance(restarts, int) else None,
        {name: fill.words for name, fill in filled.items()},
        (*gaps, *(fill.words for fill in filled.values() if fill.value is None)),
        log_complete=not gaps,
    )
