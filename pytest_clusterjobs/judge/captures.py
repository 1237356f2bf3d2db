"""Reads the value of a pattern's group: a whole token, and the last one even if it is not a valid value."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

from ..model.text import quoted_output
from .patterns import PLACEHOLDER
from .tokens import enclosing_token
from .tokens import NO_VALUE
from .tokens import token_at

_NO_VALUE = re.compile(rf"\s*{NO_VALUE}")
_NO_VALUE_INSIDE = re.compile(rf"(?<![\w.]){NO_VALUE}")


@dataclass(frozen=True, slots=True)
class Capture:
    """A pattern and the group that is its value.

    The text that the pattern has before the group is the value's *name*. An occurrence of the name at
    which the pattern does not match counts as an occurrence too: ``loss=([0-9.]+)`` has no value for
    ``loss=nan``.
    """

    pattern: re.Pattern[str]
    group: int
    name: re.Pattern[str] | None = None
    """Matches the name, up to the place of the value; ``None`` if the pattern has no name."""
    tail: re.Pattern[str] | None = None
    """The part of the pattern after the group."""
    before_stretch: re.Pattern[str] | None = None
    """The part before a ``.*`` or the like that ends at the group; ``None`` without one."""
    literal: str = ""
    """Text that each line with an occurrence contains."""
    column: bool = False
    placeholder: bool = False
    word: bool = False
    """Whether the value is a word, which may directly follow digits."""
    rule: bool = False
    """Whether it is part of a ``classify`` rule, which has no ``{number}``."""

    def occurrences(self, line: str) -> list[re.Match[str]]:
        """All in a line, left to right: matches of the pattern, or of its name where the pattern has none."""
        matches = list(self.pattern.finditer(line))
        if self.name is None:
            return matches
        starts = [match.start() for match in matches]
        bare = [name for name in self.name.finditer(line) if not self._is_read(name, matches, starts)]
        return sorted([*matches, *bare], key=self._place) if bare else matches

    def value(self, occurrence: re.Match[str]) -> tuple[str, str]:
        """The text of the value, and why it is not a valid value (empty if it may be one)."""
        if self.is_bare(occurrence):
            return self._unmatched(occurrence)
        text = occurrence[self.group]
        inner = "" if text is None else text.strip()
        if not inner:
            return "", ""
        start = occurrence.start(self.group) + len(text) - len(text.lstrip())
        return inner, self._problem(occurrence, start, start + len(inner))

    def is_bare(self, occurrence: re.Match[str]) -> bool:
        """Whether the occurrence is the name alone."""
        return self.name is not None and occurrence.re is self.name

    def _place(self, occurrence: re.Match[str]) -> int:
        return occurrence.end() if self.is_bare(occurrence) else occurrence.start(self.group)

    def _is_read(self, name: re.Match[str], matches: Sequence[re.Match[str]], starts: Sequence[int]) -> bool:
        start, end = _value_span(name, self.group)
        near = bisect_right(starts, start if start == end else end - 1) - 1
        return near >= 0 and self._covers(matches[near], name)

    def _covers(self, match: re.Match[str], name: re.Match[str]) -> bool:
        """Whether ``match`` includes the text at ``name``."""
        start, end = _value_span(name, self.group)
        until = max(match.end(self.group), match.start() + 1)
        if start < end:
            return until > start
        return start < until and (name.end() <= until or _NO_VALUE.match(name.string, name.end()) is None)

    def _problem(self, match: re.Match[str], start: int, end: int) -> str:
        line = match.string
        whole = enclosing_token(line, start, end, tail=self.tail, column=self.column, word=self.word)
        if whole:
            return self._part_only(line[start:end], whole)
        head = self.before_stretch.match(line, match.start()) if self.before_stretch is not None else None
        between = _NO_VALUE_INSIDE.search(line, head.end(), start) if head is not None else None
        if between is not None:
            return f"{quoted_output(between[0])} precedes {quoted_output(line[start:end])}"
        return ""

    def _part_only(self, text: str, whole: str) -> str:
        rest = whole.removeprefix(text)
        if self.placeholder and rest != whole:
            unit = (
                f"; if {quoted_output(rest)} is its unit, write {PLACEHOLDER}{rest}" if _is_unit(rest) else ""
            )
            return f"{quoted_output(whole)} is not a number{unit}"
        if self.placeholder:
            return f"{quoted_output(text)} is only part of {quoted_output(whole)}; let the pattern match what precedes it"
        return f"{quoted_output(text)} is only part of {quoted_output(whole)}{self._advice}"

    def _unmatched(self, name: re.Match[str]) -> tuple[str, str]:
        line, at = name.string, name.end()
        while line[at : at + 1].isspace():
            at += 1
        there = token_at(line, at) or line[at : at + 20]
        label = f"{quoted_output(name[0].strip(), 60)} is followed by " if name[0].strip() else ""
        shown = quoted_output(there) if there else "nothing"
        return there, f"{label}{shown}, where the pattern does not match{self._advice}"

    @property
    def _advice(self) -> str:
        return "" if self.placeholder or self.rule else f"; write {PLACEHOLDER} in place of the number"


def _value_span(name: re.Match[str], group: int) -> tuple[int, int]:
    """Where the value of an occurrence of a name is, as far as the name's pattern looks ahead."""
    known = name.re.groups >= group > 0 and name[group] is not None
    return name.span(group) if known else (name.start(), name.start())


def _is_unit(text: str) -> bool:
    return (
        len(text) <= 12
        and text not in {"e", "E"}
        and not any(char.isdigit() or char in "\\()[]{}*+?.^$|" for char in text)
    )
