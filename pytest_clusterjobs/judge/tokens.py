"""Words and numbers of a line, taken whole."""

from __future__ import annotations

import math
import re

from ..model.text import quoted_output

_BLANK = r" \t\n\r\f\v"
_WIDE = rf"[^\S{_BLANK}]"
"""White space beyond ASCII; between digits it groups them, as in ``1 234`` with a narrow space."""
_CHARACTER = r"""[^\s;()\[\]{}<>|"`,'.:!?]|'(?=\d)|[.:!?](?=[^\s;)\]}>|"'`])|(?<=\.)\."""
DIGITS = r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?"
"""A finite number as Python and C write it."""


def character(column: bool = False) -> str:
    """One character of a token, as a regular expression.

    White space, brackets, quotes, ``;`` and ``|`` end a token; so do ``. , : ! ?`` where no more follows.
    A comma between digits is part of it, except in a ``column`` of comma-separated values.
    """
    comma = "" if column else r"|,(?=[\d+._-])"
    return rf"(?:{_CHARACTER}|{_WIDE}(?=\d){comma})"


def continuation(column: bool = False) -> str:
    """What follows a number that is not complete yet, as a regular expression."""
    commas = "" if column else ","
    return rf"(?:[\d.]|[{commas}_'\u2019](?=\d)|[eE][+-]?\d|[xX][0-9a-fA-F]|{_WIDE}(?=\d))"


NO_VALUE = r"(?:[+-]?(?i:nan|inf(?:inity)?|none|null|n/a)(?![\w=]))"
"""A word in place of a number."""
NUMBERISH = rf"(?:[+-]?\.?\d[\w.,+-]{{0,40}}|{NO_VALUE})"
"""A number in any notation, or the lack of one."""
MAX_TOKEN_CHARACTERS = 100
"""The most characters of a token that are examined."""
START = r"""(?<![^\s;()\[\]{}<>|"`,'=:])"""
"""The left end of a token, if nothing else shows where it begins."""

_NUMBER = re.compile(rf"{DIGITS}|[+-]?(?:nan|inf(?:inity)?)", re.ASCII | re.I)
_TOKEN = re.compile(f"{character()}{{1,{2 * MAX_TOKEN_CHARACTERS}}}")
_COLUMN = re.compile(f"{character(column=True)}{{1,{2 * MAX_TOKEN_CHARACTERS}}}")
_CONTINUATION = re.compile(continuation())
_NUMBER_BEGINS = (
    rf"\d|\d[._'\u2019]|\d{_WIDE}|\d\.?[eE][+-]?|(?:\A|[^\w.])\.|(?:\A|[^\w)\]])[-+\u2212]|0[xX][0-9a-fA-F]*"
)
_BEGINS_BEFORE = re.compile(rf"(?:{_NUMBER_BEGINS}|\d,)\Z")
_BEGINS_BEFORE_IN_COLUMN = re.compile(rf"(?:{_NUMBER_BEGINS})\Z")
_REACH = re.compile(r"[\w.,'\u2019+\u2212-]*\Z")
_MAX_CHARACTERS_BEFORE = 64
"""The most characters before a number that are examined."""
_SEPARATORS_BEFORE = frozenset(' \t=("')
"""What precedes most numbers and is not part of any."""
_SEPARATORS_AFTER = frozenset(' \t\n;)|"')
"""What follows most numbers and is not part of any."""


class Unreadable(Exception):
    """No usable value; the message is one line that quotes the text found."""


def number(text: str) -> float:
    """The finite number that ``text`` represents. Raises Unreadable."""
    if _NUMBER.fullmatch(text) is None:
        raise Unreadable(f"{quoted_output(text)} is not a number")
    value = float(text)
    if not math.isfinite(value):
        raise Unreadable(f"{quoted_output(text)} is not finite")
    return value


def token_at(line: str, at: int, *, column: bool = False) -> str:
    """The token that begins there; empty if none does."""
    match = (_COLUMN if column else _TOKEN).match(line, at)
    return match[0] if match is not None else ""


def enclosing_token(
    line: str, start: int, end: int, *, tail: re.Pattern[str] | None, column: bool = False, word: bool = False
) -> str:
    """The token of which ``line[start:end]`` is only a part; empty if that is whole.

    ``tail`` is the part of the pattern behind it: a unit that the pattern spells out is not part of the
    number. ``word`` leaves out the check for digits and signs in front.
    """
    if (word or not start or line[start - 1] in _SEPARATORS_BEFORE) and (
        end == len(line) or line[end] in _SEPARATORS_AFTER
    ):
        return ""
    reach = max(end, start + len(token_at(line, start, column=column)))
    before = line[max(0, start - _MAX_CHARACTERS_BEFORE) : start]
    if not word and (_BEGINS_BEFORE_IN_COLUMN if column else _BEGINS_BEFORE).search(before):
        found = _REACH.search(before)
        return (found[0] if found is not None else "") + line[start:reach]
    over = word or _CONTINUATION.match(line, end) is None
    if reach == end or (over and tail is not None and _spelt_out(tail, line, end, reach)):
        return ""
    return line[start:reach]


def _spelt_out(tail: re.Pattern[str], line: str, end: int, reach: int) -> bool:
    """Whether the pattern matches the rest of the token (a unit, or a separating mark), and no other rest."""
    rest = line[end : reach + _MAX_CHARACTERS_BEFORE]
    needed = reach - end if line[end].isalnum() else 1
    match = tail.match(rest)
    return match is not None and match.end() >= needed and tail.match("\0" + rest[reach - end :]) is None
