"""From a pattern's source to the way in which one of its groups is read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from .captures import Capture
from .patterns import BadPattern
from .patterns import check_for_lines
from .patterns import compiled
from .patterns import has_words
from .patterns import is_assignment
from .patterns import is_column
from .patterns import line_pattern
from .patterns import literal
from .patterns import loosened
from .patterns import Part
from .patterns import parts
from .patterns import PLACEHOLDER
from .patterns import stretch
from .tokens import character
from .tokens import continuation
from .tokens import DIGITS
from .tokens import MAX_TOKEN_CHARACTERS
from .tokens import NO_VALUE
from .tokens import START

_FLAGS = re.compile(r"(?:\(\?[aiLmsux]+\))*")
_REFERENCE = re.compile(r"\\[1-9][0-9]?")


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a value is in a pattern's source."""

    before: Sequence[Part]
    after: Sequence[Part]
    opening: str
    """The parenthesis that begins its group."""
    alone: bool
    """Whether it is outside of other groups and alternatives."""

    @property
    def column(self) -> bool:
        return is_column(self.before, self.after)

    @property
    def start(self) -> str:
        """Keeps a value at the beginning of a token, if nothing precedes it."""
        return START if _FLAGS.fullmatch(_source(self.before)) else ""


@lru_cache(maxsize=256)
def metric_capture(pattern: str) -> Capture:
    """How a metric is read: by ``{number}``, its first group, or the whole match. Raises BadPattern."""
    pieces = parts(pattern)
    placeholders = [at for at, piece in enumerate(pieces) if piece.kind == "number"]
    if len(placeholders) > 1:
        raise BadPattern(f"{PLACEHOLDER} is in the pattern twice: a metric is one number")
    if not placeholders:
        whole = compiled(pattern)
        place = _group(pieces, 1) if whole.groups else None
    else:
        if any(piece.kind == "choice" or _REFERENCE.fullmatch(piece.text) for piece in pieces):
            raise BadPattern(f"beside {PLACEHOLDER} groups must be named: (?P<x>...) and (?P=x)")
        place = _place(pieces, placeholders[0], placeholders[0], "(?P<number>")
        placeholder_part = pieces[placeholders[0]]
        whole = compiled(
            f"{pattern[: placeholder_part.start]}(?P<number>{_number(place)}){pattern[placeholder_part.end :]}"
        )
    check_for_lines(pattern, whole)
    if whole.flags & re.VERBOSE:
        raise BadPattern("(?x) is not supported: write the pattern without blanks and comments")
    if place is None:
        return Capture(whole, 0)
    if not place.alone:
        advice = f"write it outside, as in '(?:train|val) loss={PLACEHOLDER}'"
        raise BadPattern(f"the number is in another group or beside a `|`: {advice}")
    return _capture(
        whole, place, whole.groupindex["number"] if placeholders else 1, placeholder=bool(placeholders)
    )


@lru_cache(maxsize=256)
def rule_capture(pattern: str, group: str, *, word: bool) -> Capture:
    """How a named group of a ``classify`` rule is read. Raises BadPattern."""
    whole = line_pattern(pattern)
    place = _group(parts(pattern), whole.groupindex[group])
    if place is None or not place.alone or whole.flags & re.VERBOSE:
        return Capture(whole, whole.groupindex[group], word=word, rule=True)
    return _capture(whole, place, whole.groupindex[group], word=word, rule=True)


def _number(place: _Place) -> str:
    """The pattern for ``{number}``: a number that ends there, or else any token."""
    digits = rf"{DIGITS}(?!{continuation(place.column)})"
    return rf"{place.start}(?:{digits}|{character(place.column)}{{1,{MAX_TOKEN_CHARACTERS}}})"


def _capture(
    whole: re.Pattern[str],
    place: _Place,
    group: int,
    *,
    placeholder: bool = False,
    word: bool = False,
    rule: bool = False,
) -> Capture:
    at = stretch(place.before)
    return Capture(
        whole,
        group,
        name=_name(place, whole.flags),
        tail=_compiled(_source(place.after), whole.flags),
        before_stretch=None if at is None else _compiled(_source(place.before[:-2]), whole.flags),
        literal=_literal(place, whole.flags),
        column=place.column,
        placeholder=placeholder,
        word=word,
        rule=rule,
    )


def _name(place: _Place, flags: int) -> re.Pattern[str] | None:
    """The pattern of the name, up to the place of the value; a look-ahead excludes prose."""
    head, tail = loosened(place.before), loosened(place.after)
    value = rf"{place.opening}{character(place.column)}{{1,{MAX_TOKEN_CHARACTERS}}})"
    if has_words(place.before):
        if is_assignment(place.before) or not has_words(place.after):
            return _compiled(head, flags)
        return _compiled(rf"{head}(?=\s*{NO_VALUE}|{value}{tail})", flags)
    head += place.start
    if has_words(place.after):
        return _compiled(rf"{head}(?={value}{tail})", flags)
    if not place.before and not place.after:
        return None
    like = rf"{place.opening}(?:{NO_VALUE}|[+-]?\.?\d{character(place.column)}{{0,{MAX_TOKEN_CHARACTERS}}}))"
    return _compiled(rf"{head}(?={like}{tail})", flags)


def _literal(place: _Place, flags: int) -> str:
    """Text that each line with an occurrence contains.

    The part behind the value is used only if it belongs to the name.
    """
    head = literal(place.before, flags)
    return head if head or has_words(place.before) else literal(place.after, flags)


def _compiled(source: str, flags: int) -> re.Pattern[str] | None:
    """A piece of a pattern; ``None`` if it does not compile without the rest."""
    body = _FLAGS.match(source)
    try:
        return re.compile(source[body.end() if body is not None else 0 :], flags)
    except (re.error, OverflowError, RecursionError):
        return None


def _group(pieces: Sequence[Part], number: int) -> _Place | None:
    """Where the group with this number is."""
    seen = 0
    for first, piece in enumerate(pieces):
        seen += piece.kind == "capture"
        if piece.kind == "capture" and seen == number:
            rest = enumerate(pieces[first:], first)
            last = next(
                (at for at, each in rest if each.kind == "close" and each.depth == piece.depth), first
            )
            return _place(pieces, first, last, piece.text)
    return None


def _place(pieces: Sequence[Part], first: int, last: int, opening: str) -> _Place:
    after = pieces[last + 1 :]
    if after and after[0].kind == "repeat":
        after = after[1:]
    alone = pieces[first].depth == 0 and not any(each.kind == "bar" and not each.depth for each in pieces)
    return _Place(pieces[:first], after, opening, alone)


def _source(pieces: Sequence[Part]) -> str:
    return "".join(piece.text for piece in pieces)
