"""The part of the shell's grammar that is needed to decide whether arguments may be appended to a script."""

from __future__ import annotations

import re

_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\+?=")
_PARAMETER = re.compile(
    r"\$(?:[@*#1-9]|\{[@*#1-9])|(?:^|[;&|\n(])\s*(?:do\s+|then\s+)?shift(?![\w-])|(?<![\w-])getopts\s"
)
_QUOTED = re.compile(r"\\.|'[^']*'|\"(?:\\.|[^\"\\])*\"|(?:^|(?<=[\s;&|(]))#[^\n]*", re.DOTALL)
"""An escape, a string, or a comment."""
_WORD = re.compile(
    r"""(?!\#)(?:
        [^ \t\n|&;<>()`'"\\$]
      | '[^']*'
      | "(?:[^"\\$`] | \\. | \$(?![({'"]) | \$\{[A-Za-z_][A-Za-z0-9_]*\})*"
      | \\[^\n]
      | \$\{[A-Za-z_][A-Za-z0-9_]*(?::?[-+=?][^{}$`'"\\\n]*)?\}
      | \$(?![({'"])
    )+""",
    re.DOTALL | re.VERBOSE,
)
"""A word of a simple command: no operator, substitution or comment."""
_BLANK = r"(?:[ \t]|\\\n)"
_SIMPLE_COMMAND = re.compile(rf"{_BLANK}*{_WORD.pattern}(?:{_BLANK}+{_WORD.pattern})*{_BLANK}*", _WORD.flags)
_NOT_A_COMMAND = frozenset(
    "if then elif else fi for while until do done case esac select function in { } [[ ]] ! coproc".split()  # noqa: SIM905
)
_TAKES_NONE = frozenset(["exit", "return", "break", "continue", ":", "true", "false", "set", "unset", "wait"])
"""Builtins that ignore arguments, or whose meaning arguments change."""


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
    script = run.strip()
    if not _SIMPLE_COMMAND.fullmatch(script):
        return False
    words = (match[0] for match in _WORD.finditer(script))
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
