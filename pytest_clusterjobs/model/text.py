"""Text from jobs and clusters: cleaned for regular expressions, escaped for display."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Literal

ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor movements
    r"|\x1b[\]P^_X][^\x07\x1b\x9c\n]*(?:\x07|\x1b\\|\x9c)"  # titles and links; only with their end in sight
    r"|\x1b[ -/]*[0-~]"
)
_CARRIAGE_RETURN = re.compile(r"\r+\n?")
_CI_COMMAND = re.compile(r"##(?=\w*\[)")
RANK_PREFIX = re.compile(r"^\([^()\n]{1,120}?[ ,]pid=\d+(?:, ?\w+=[^(),\s]{1,64})*\) ?", re.MULTILINE)
"""The prefix that some clusters add to each line of a log."""


def strip_ansi(text: str) -> str:
    """Remove terminal sequences (ECMA-48); of an unterminated one only its introducer."""
    return ANSI.sub("", text) if "\x1b" in text or "\x9b" in text else text


def split_lines_at_cr(text: str) -> str:
    """Replace CR LF, and the lone CR of progress bars, by a line feed."""
    return _CARRIAGE_RETURN.sub("\n", text) if "\r" in text else text


def clean(text: str) -> str:
    """The text to which regular expressions of a matrix are applied.

    It is without ANSI sequences, CR, and the rank prefixes of cluster logs, for example
    ``(head, rank=0, pid=2618) `` and ``(worker1, rank=1, pid=1987, ip=172.31.10.228) ``.
    """
    text = split_lines_at_cr(strip_ansi(text))
    return RANK_PREFIX.sub("", text) if "pid=" in text else text


def printable(text: str, limit: int, *, keep: Literal["start", "end"] = "start") -> str:
    """``text`` in at most ``limit`` characters, valid in XML 1.0 and unable to control a terminal.

    Newlines and tabs stay. Other control characters, invisible characters (bidirectional overrides among
    them), surrogates and non-characters are escaped as in Python. ``[...]`` marks the side at which text was
    left out.
    """
    cut = text[:limit] if keep == "start" else text[-limit:]
    shown = harmless(cut)
    if len(cut) == len(text) and len(shown) <= limit:
        return shown
    mark = "[...]"[:limit]
    room = limit - len(mark)
    return shown[:room] + mark if keep == "start" else mark + shown[len(shown) - min(room, len(shown)) :]


def harmless(text: str) -> str:
    """Like :func:`printable`, without a limit."""
    return text if text.isascii() and text.isprintable() else "".join(map(_escape, text))


def unbroken(text: str) -> str:
    """Like :func:`harmless`, on one line, and otherwise unchanged."""
    return " ".join(harmless(text).splitlines())


def with_margin(text: str) -> str:
    """``text`` with a margin: no line can be mistaken for output of pytest or for a command to a CI system.

    GitHub accepts ``::error`` behind white space too; other systems accept their commands (``##vso[``,
    ``##teamcity[``) anywhere.
    """
    return "\n".join(f"| {line}" for line in _CI_COMMAND.sub("# #", text).split("\n"))


def escaped(text: str) -> str:
    """``text`` on one line: all that is not printable is escaped as in Python, line breaks and tabs too."""
    if text.isprintable():
        return text
    return "".join(char if char.isprintable() else char.encode("unicode_escape").decode() for char in text)


def one_line(text: str, limit: int = 300) -> str:
    """Like :func:`printable`, on one line: each run of white space becomes a blank."""
    return printable(" ".join(text[: 4 * limit].split()), limit)


def gist(text: str) -> str:
    """The first line of ``text``, by :func:`one_line`; shorter if more follows, as in pytest's ``assert``."""
    first, _, more = text.strip().partition("\n")
    return one_line(first, 100 if more else 300)


def counted(number: int, noun: str) -> str:
    """``1 cell``, ``2 cells``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def did_you_mean(name: str, known: Iterable[str], *, cutoff: float = 0.6) -> str:
    """The end of a message about an unknown name: the closest known name, or the list of all."""
    names = list(known)
    lowered: Mapping[str, str] = {each.lower().replace("-", "_"): each for each in names}
    close = get_close_matches(name.lower().replace("-", "_")[:100], lowered, n=1, cutoff=cutoff)
    if close:
        return f", did you mean {lowered[close[0]]!r}?"
    if not names:
        return ""
    listed = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return f"; there {'is' if len(names) == 1 else 'are'} {listed}"


def quoted(value: object, limit: int = 60) -> str:
    """``str(value)`` in single quotes, as Python writes it: for values of a matrix or of Python code."""
    text = str(value)
    return repr(text if len(text) <= limit else text[: limit - 3] + "...")


def quoted_output(text: str, limit: int = 80) -> str:
    """Like :func:`printable`, in double quotes, on one line: for text that a job or a cluster printed.

    The text cannot be mistaken for a message of the plugin.
    """
    shown = (
        text[: limit + 1].replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace('"', '\\"')
    )
    return f'"{printable(shown, limit)}"'


def _escape(char: str) -> str:
    if " " <= char <= "~" or char in "\n\t":
        return char
    code = ord(char)
    if unicodedata.category(char) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} and not _is_noncharacter(code):
        return char
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _is_noncharacter(code: int) -> bool:
    return code & 0xFFFE == 0xFFFE or 0xFDD0 <= code <= 0xFDEF
