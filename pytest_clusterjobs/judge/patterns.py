"""The syntax of a matrix's regular expressions, as far as needed to decide what they can and cannot match."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from .tokens import NUMBERISH

PLACEHOLDER = "{number}"
"""The placeholder for the number in a metric's pattern."""
MAX_PATTERN_CHARACTERS = 2_000
"""The longest pattern, in characters."""

_SYNTAX = re.compile(
    r"""
      (?P<number> \{number\} )
    | (?P<escape> \\ (?: x[0-9a-fA-F]{2} | u[0-9a-fA-F]{4} | U[0-9a-fA-F]{8} | N\{[^}]*\}
                       | [0-7]{3} | [0-9]{1,2} | . ) )
    | (?P<set> \[ \^? \]? (?: \\. | [^\]\\] )* \] )
    | (?P<aside> \(\?\#[^)]*\) | \(\?[aiLmsux]+\) | \(\?P=\w+\) )
    | (?P<capture> \( (?!\?) | \(\?P<\w+> )
    | (?P<look> \(\?<?= )
    | (?P<look_not> \(\?<?! )
    | (?P<choice> \(\?\(\w+\) )
    | (?P<group> \(\?> | \(\? [aiLmsux]* (?:-[imsx]+)? : )
    | (?P<close> \) )
    | (?P<bar> \| )
    | (?P<repeat> (?: [*+?] | \{ (?: [0-9]+ (?:,[0-9]*)? | ,[0-9]* ) \} ) [+?]? )
    | (?P<literal> . )
    """,
    re.VERBOSE | re.DOTALL,
)
_OPEN = {"capture", "look", "look_not", "choice", "group"}
_BREAK = re.compile(r"\\[nr]|\\x0[aAdD]|\\u000[aAdD]|\\01[25]|[\n\r]|\[(?:\\[nr]|[\n\r])+\]")
_DIGITS = re.compile(r"\\d|\[(?=[^\]]*(?:0-9|\\d))(?:0-9|\\[d.+-]|[.,_eE+-])+\]")
_BLANKS = re.compile(r"\\[st]|[ \t]|\[(?:\\[st]|[ \t])+\]")
_MARKS = re.compile(r"[=:]|\\[=:]|\[[^\]^]*[=:][^\]]*\]")
_QUOTES = re.compile(r"""\\?["']|\["'\]|\['"\]""")


class BadPattern(ValueError):
    """A pattern that must be a mistake; the message is one line with the fix."""


@dataclass(frozen=True, slots=True)
class Part:
    """One piece of a pattern's source."""

    kind: str
    text: str
    start: int
    depth: int
    """The number of groups around it; for an opening or closing parenthesis, the number around its group."""

    @property
    def end(self) -> int:
        """The position behind its last character."""
        return self.start + len(self.text)


def compiled(pattern: str) -> re.Pattern[str]:
    """The compiled pattern, for lines. Raises BadPattern, also for what Python only warns about."""
    if not pattern or len(pattern) > MAX_PATTERN_CHARACTERS:
        raise BadPattern(
            "the pattern is empty"
            if not pattern
            else f"the pattern is longer than {MAX_PATTERN_CHARACTERS} characters"
        )
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            return re.compile(pattern, re.MULTILINE)
    except (re.error, Warning, OverflowError, RecursionError) as error:
        raise BadPattern(f"not a valid regular expression: {error}") from None


@lru_cache(maxsize=256)
def line_pattern(pattern: str) -> re.Pattern[str]:
    """A pattern that some lines match and others do not. Raises BadPattern."""
    whole = compiled(pattern)
    if any(part.kind == "number" for part in parts(pattern)):
        raise BadPattern(f"{PLACEHOLDER} is only for patterns of metrics: write [0-9.]+ here")
    check_for_lines(pattern, whole)
    return whole


def check_for_lines(source: str, whole: re.Pattern[str]) -> None:
    """Reject a pattern that matches in no line, or in every line. Raises BadPattern."""
    if needs_line_break(source):
        raise BadPattern(
            "each line is searched by itself, so a line break never matches: write a pattern for each line"
        )
    if whole.search("") is not None:
        raise BadPattern("the pattern matches an empty line, so it matches every text")


def parts(pattern: str) -> tuple[Part, ...]:
    """The pieces of a pattern that compiles."""
    found = []
    depth = 0
    for match in _SYNTAX.finditer(pattern):
        kind = match.lastgroup or "literal"
        depth -= kind == "close"
        found.append(Part(kind, match[0], match.start(), depth))
        depth += kind in _OPEN
    return tuple(found)


def needs_line_break(pattern: str) -> bool:
    """Whether the pattern only matches text with a line break, which no line has."""
    pieces: Sequence[Part] = parts(pattern)
    if any(part.kind == "aside" and part.text.startswith("(?") and "x" in part.text for part in pieces):
        pieces = [part for part in pieces if not part.text.isspace()]
    return _needs(iter(pieces))


def _needs(pieces: Iterator[Part]) -> bool:
    """For a sequence up to its closing parenthesis: whether every alternative needs a line break."""
    alternatives = [False]
    atom = False
    for part in pieces:
        if part.kind == "repeat":
            atom = atom and not re.match(r"[*?]|\{0?,|\{0\}", part.text)
            continue
        alternatives[-1] = alternatives[-1] or atom
        atom = False
        if part.kind == "close":
            return all(alternatives)
        if part.kind == "bar":
            alternatives.append(False)
        elif part.kind in _OPEN:
            atom = _needs(pieces) and part.kind not in {"look_not", "choice"}
        elif part.kind in {"escape", "literal", "set"}:
            atom = _BREAK.fullmatch(part.text) is not None
    alternatives[-1] = alternatives[-1] or atom
    return all(alternatives)


def loosened(pieces: Sequence[Part]) -> str:
    """The source with its patterns for numbers (``[0-9.]+`` and the like) widened to any number, nan too."""
    result = ""
    rest = iter(zip(pieces, [*(part.text for part in pieces[1:]), ""], strict=False))
    for part, following in rest:
        if _DIGITS.fullmatch(part.text) and following[:1] in {"*", "+"}:
            result += NUMBERISH + ("?" if following.startswith("*") else "")
            next(rest)
        else:
            result += part.text
    return result


def has_words(pieces: Sequence[Part]) -> bool:
    """Whether the source contains a literal letter or digit."""
    return any(part.kind == "literal" and part.text.isalnum() for part in pieces)


def literal(pieces: Sequence[Part], flags: int) -> str:
    """The longest literal text that every match contains; empty if none is known."""
    if flags & (re.IGNORECASE | re.VERBOSE) or any(part.kind == "bar" and not part.depth for part in pieces):
        return ""
    runs = [""]
    for at, part in enumerate(pieces):
        char = _character(part) if part.depth == 0 else ""
        if char and not (at + 1 < len(pieces) and pieces[at + 1].kind == "repeat"):
            runs[-1] += char
        elif part.kind != "aside":
            runs.append("")
    return max(runs, key=len)


def _character(part: Part) -> str:
    """The one character that a piece matches; empty if there is a choice."""
    if part.kind == "literal":
        return "" if part.text in {".", "^", "$", "\n"} else part.text
    return part.text[1] if part.kind == "escape" and not part.text[1].isalnum() else ""


def is_assignment(pieces: Sequence[Part]) -> bool:
    """Whether the source ends in ``=`` or ``:``, ignoring blanks and quotes."""
    for part in reversed(pieces):
        if part.kind in {"repeat", "close", "aside"} or part.kind in _OPEN:
            continue
        if _BLANKS.fullmatch(part.text) is None and _QUOTES.fullmatch(part.text) is None:
            return _MARKS.fullmatch(part.text) is not None
    return False


def stretch(pieces: Sequence[Part]) -> int | None:
    """Where the source's last piece begins, if that piece matches any length of anything but blanks."""
    if len(pieces) < 2 or pieces[-1].kind != "repeat" or pieces[-1].text[0] == "?":
        return None
    atom = pieces[-2]
    free = atom.kind in {"set", "escape"} or (atom.kind, atom.text) == ("literal", ".")
    return atom.start if free and _BLANKS.fullmatch(atom.text) is None else None


def is_column(before: Sequence[Part], after: Sequence[Part]) -> bool:
    """Whether the text between these is a column of comma-separated values."""
    left = before[-1].text if before else ""
    right = after[0].text if after else ""
    ends = {",", "^", "$", r"\A", r"\Z"}
    return "," in (left, right) and left in ends and right in ends
