"""The part of the shell's grammar that is needed to decide whether arguments may be appended to a script."""

from __future__ import annotations

import re

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_PARAMETER = re.compile(
    r"\$(?:[@*#1-9]|\{[@*#1-9])|(?:^|[;&|\n(])\s*(?:do\s+|then\s+)?shift(?![\w-])|(?<![\w-])getopts\s"
)
_QUOTED = re.compile(r"\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"|(?:^|(?<=[\s;&|(]))#[^\n]*", re.DOTALL)
"""An escape, a string, or a comment."""
_IN_DOUBLE_QUOTES = re.compile(r'"(?:[^"\\$`]|\\.|\$(?![({\'"])|\$\{[A-Za-z_][A-Za-z0-9_]*\})*"', re.DOTALL)
_EXPANSION = re.compile(r"\$(?:\{[A-Za-z_][A-Za-z0-9_]*(?::?[-+=?][^{}$`'\"\\\n]*)?\}|(?![({'\"]))")
_NOT_A_COMMAND = frozenset(
    "if then elif else fi for while until do done case esac select function in { } [[ ]] ! coproc".split()  # noqa: SIM905
)
_TAKES_NONE = frozenset(["exit", "return", "break", "continue", ":", "true", "false", "set", "unset", "wait"])
"""Builtins that ignore arguments, or whose meaning arguments change."""
_OPERATORS = frozenset("|&;<>()\n`")


def with_args(run: str) -> str | None:
    """The script that passes its positional parameters on; ``None`` if it would leave them unused.

    One simple command gets ``"$@"`` appended; any other script must mention the parameters itself.
    """
    if _mentions_parameters(run):
        return run
    return f'{run.strip()} "$@"' if is_simple_command(run) else None


def is_simple_command(run: str) -> bool:
    """Whether a script is one simple command: no operator, redirection, substitution or comment.

    In doubtful cases the answer is no.
    """
    words = _words(run.strip())
    if words is None:
        return False
    command = next((word for word in words if not _ASSIGNMENT.match(word)), None)
    return command is not None and command not in _NOT_A_COMMAND | _TAKES_NONE


def has_pipe(run: str) -> bool:
    """Whether a script seems to contain a pipe, outside quotes and comments."""
    bare = _QUOTED.sub("", run)
    bare = re.sub(r"\bcase\b.*?\besac\b", "", bare, flags=re.DOTALL)
    return re.search(r"(?<![|>])\|(?!\|)", bare) is not None


def _mentions_parameters(run: str) -> bool:
    """Whether the script itself uses its parameters; the ``$1`` of ``awk '{print $1}'`` does not count."""
    expanded = _QUOTED.sub(lambda found: found[0] if found[0].startswith('"') else "", run)
    return _PARAMETER.search(expanded) is not None


def _words(script: str) -> list[str] | None:
    """The words of a simple command, quotes kept; ``None`` if it is not one."""
    words: list[str] = []
    current = ""
    at = 0
    while at < len(script):
        char = script[at]
        if char in " \t":
            words += [current] if current else []
            current = ""
            at += 1
            continue
        if char in _OPERATORS or (char == "#" and not current):
            return None
        stop = _end_of_piece(script, at)
        if stop is None:
            return None
        piece = script[at:stop]
        current += "" if piece == "\\\n" else piece
        at = stop
    return [*words, current] if current else words


def _end_of_piece(script: str, at: int) -> int | None:
    """Where a quoted string, an escape, an expansion or a plain character ends."""
    char = script[at]
    if char == "'":
        end = script.find("'", at + 1)
        return end + 1 if end >= 0 else None
    if char == '"':
        match = _IN_DOUBLE_QUOTES.match(script, at)
        return match.end() if match else None
    if char == "\\":
        return at + 2 if at + 1 < len(script) else None
    if char == "$":
        match = _EXPANSION.match(script, at)
        return match.end() if match else None
    return at + 1
