"""``classify``: reads a job's output, its exit code and the scheduler's text by a matrix's rules."""

from __future__ import annotations

import re
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from dataclasses import replace

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
    texts: Mapping[str, str] = field(default_factory=dict)
    """For each filled field, the quoted text that filled it."""
    problems: tuple[str, ...] = ()
    """Why a field that a rule should have filled cannot be known."""
    log_complete: bool = True
    """Whether every log that a rule needed was read to its end."""
    by_log: bool = False
    """Whether the reason is only what the job itself has printed."""


@dataclass(frozen=True, slots=True)
class _Value:
    value: str | int | None
    """``None``: the rule matched, but its text is not a valid value."""
    text: str
    """The text that the rule matched, quoted, in a clause."""


_FieldTexts = Mapping[str, tuple[str, str]]
"""By field: what the log reports for it, and why that is not a valid value (empty if it may be one)."""


@dataclass(slots=True)
class _Logs:
    """What the last match of every log rule reads, by rank; searched when the first rule needs it."""

    rules: Mapping[int, Mapping[str, Capture]]
    log: ReadLog | None
    ranks: int
    gaps: list[str] = field(default_factory=list)
    _texts: dict[int, dict[int, _FieldTexts]] | None = None

    def texts(self, index: int) -> Mapping[int, _FieldTexts]:
        """By rank, what rule ``index`` reads in the logs that have something for it."""
        if self._texts is None:
            self._texts = {key: {} for key in self.rules}
            for rank in range(self.ranks):
                self._search(rank, self._texts)
        return self._texts[index]

    def _search(self, rank: int, found: dict[int, dict[int, _FieldTexts]]) -> None:
        log = read_log(self.log, rank)
        if log.gap:
            self.gaps.append(log.gap)
        for index, captures in self.rules.items():
            texts = _last_texts(captures, log.text)
            if texts is not None:
                found[index][rank] = texts


def _captures(pattern: str) -> dict[str, Capture]:
    """How a log rule's groups are read, in their order in the pattern. Raises BadPattern."""
    groups = line_pattern(pattern).groupindex
    return {name: rule_capture(pattern, name, word=name == "reason") for name in groups if name in FIELDS}


def _last_texts(captures: Mapping[str, Capture], text: str) -> _FieldTexts | None:
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
    """Apply the rules in order; the first that has a value for a field of ``only`` decides it.

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
    filled: dict[str, _Value] = {}
    by_log = False
    for index, rule in enumerate(classification.rules):
        if not (_fields(rule, log_rules.get(index, {})) & set(only)) - filled.keys():
            continue
        for name, value in _apply(classification, rule, index, logs, observation, code):
            if name in only and name not in filled:
                filled[name] = value
                by_log = by_log or (name == "reason" and rule.log is not None)
    return replace(_reading(filled, logs.gaps), by_log=by_log)


def _fields(rule: ClassifyRule, captures: Mapping[str, Capture]) -> set[str]:
    return {*captures, "reason"} if rule.reason is not None else set(captures)


def _apply(
    classification: Classification,
    rule: ClassifyRule,
    index: int,
    logs: _Logs,
    observation: Observation,
    code: int | None,
) -> Iterator[tuple[str, _Value]]:
    if rule.log is not None:
        yield from _from_logs(classification, rule, logs.texts(index), logs.ranks, logs.rules[index])
    elif rule.reason is None:
        return
    elif rule.exit_code is not None and rule.exit_code == code:
        yield "reason", _reason(classification, rule.reason, f"exit code {code}")
    elif rule.status is not None:
        seen = _status(rule.status, observation)
        if seen is not None:
            yield "reason", _reason(classification, rule.reason, f"status {quoted_output(seen)}")


def _status(pattern: str, observation: Observation) -> str | None:
    for text in (observation.native_state, observation.native_reason):
        match = first_match(pattern, clean(text))
        if match is not None:
            return match[0]
    return None


def _from_logs(
    classification: Classification,
    rule: ClassifyRule,
    texts: Mapping[int, _FieldTexts],
    ranks: int,
    captures: Mapping[str, Capture],
) -> Iterator[tuple[str, _Value]]:
    """One value per field. If ranks disagree, a rank that reports a failure takes precedence."""
    silent = [rank for rank in range(ranks) if rank not in texts]
    if rule.required and silent:
        why = f"the log of rank {silent[0]} has no line for a rule that requires one"
        for name in captures:
            yield name, _Value(Reason.UNKNOWN if name == "reason" else None, why)
        return
    values_by_field: dict[str, list[_Value]] = {name: [] for name in FIELDS}
    for rank in sorted(texts):
        for name, value in _values_from_texts(classification, rule, texts[rank]):
            values_by_field[name].append(value)
    for name, values in values_by_field.items():
        if values:
            yield name, max(values, key=_size if name == "restarts" else _is_failure)


def _is_failure(value: _Value) -> bool:
    return value.value not in {Reason.JOB_COMPLETED, 0}


def _size(value: _Value) -> float:
    return value.value if isinstance(value.value, int) else float("inf")


def _values_from_texts(
    classification: Classification, rule: ClassifyRule, texts: _FieldTexts
) -> Iterator[tuple[str, _Value]]:
    if "reason" in texts:
        name, problem = texts["reason"]
        yield (
            "reason",
            _Value(Reason.UNKNOWN, f"reason: {problem}") if problem else _captured(classification, name),
        )
    elif rule.reason is not None:
        yield "reason", _reason(classification, rule.reason, "the log matches")
    for name in ("exit_code", "restarts"):
        if name in texts:
            yield name, _whole_number(name, *texts[name])


def _whole_number(name: str, text: str, problem: str) -> _Value:
    if problem:
        return _Value(None, f"{name}: {problem}")
    value = int(text) if _NUMBER.fullmatch(text) is not None else None
    clause = f"the log reports {name} {quoted_output(text)}"
    return _Value(value, clause if value is not None else f"{clause}, which is not a number")


def _captured(classification: Classification, name: str) -> _Value:
    translated = classification.translate.get(name)
    if translated is None:
        return _reason(classification, name, f"the log reports {quoted_output(name)}")
    return _reason(
        classification,
        translated,
        f"the log reports {quoted_output(name)}, translated to {quoted_output(translated)}",
    )


def _reason(classification: Classification, name: str, text: str) -> _Value:
    if name in REASON_CLASSES or name in classification.reasons:
        return _Value(name, text)
    return _Value(Reason.UNKNOWN, f"{text}, and {quoted_output(name)} is not a known reason")


def _reading(filled: Mapping[str, _Value], gaps: Sequence[str]) -> RuleReading:
    reason, exit_code, restarts = (filled[name].value if name in filled else None for name in FIELDS)
    return RuleReading(
        None if reason is None else str(reason),
        exit_code if isinstance(exit_code, int) else None,
        restarts if isinstance(restarts, int) else None,
        {name: value.text for name, value in filled.items()},
        (*gaps, *(value.text for value in filled.values() if value.value is None)),
        log_complete=not gaps,
    )
