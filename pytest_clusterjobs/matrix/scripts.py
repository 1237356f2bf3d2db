"""Checks the syntax of scripts with their shell, which parses and does not run them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterable
from collections.abc import Sequence

from .shell import is_simple_command

_TIMEOUT_SECONDS = 10.0
"""Seconds for all scripts of a file; a shell that takes longer gives no result."""
_ERROR = re.compile(r"^.*?\bline ([0-9]+): (?!warning:)(.+)|^[^\n:]*: ([0-9]+): (.+)", re.MULTILINE)
"""Line and message in the output of bash and of other shells."""

# A subshell that has executed `set -n` reads what follows and executes nothing, so one bash reads all
# scripts. The first script is invalid on its first line: it shows the number from which this bash counts.
_READ_ALL = r"""
while IFS= read -r -d '' script; do
    ( eval "set -n
$script" ) 2>&1
    printf '\0'
done
"""
_INVALID_SCRIPT = ")"

_results: dict[tuple[str, str], str] = {}
"""Results by shell and script: the matrices of a session share many scripts."""


def syntax_errors(shell: str, scripts: Iterable[str]) -> dict[str, str]:
    """Map each script that the shell cannot parse to a message; empty if this machine has no such shell."""
    candidates = [each for each in scripts if not is_simple_command(each)]
    new = [each for each in dict.fromkeys(candidates) if (shell, each) not in _results]
    program = shutil.which(shell) if new else None
    if program is not None:
        outputs = _bash(program, new) if shell == "bash" else [_single(program, each) for each in new]
        _results.update({(shell, each): message for each, message in zip(new, outputs, strict=True)})
    return {each: message for each in candidates if (message := _results.get((shell, each), ""))}


def _bash(program: str, scripts: Sequence[str]) -> list[str]:
    # Syntax that a script's own `shopt -s extglob` would allow is allowed.
    arguments = [program, "--norc", "--noprofile", "-O", "extglob", "-c", _READ_ALL]
    text = "".join(f"{script}\0" for script in [_INVALID_SCRIPT, *scripts])
    first, *outputs = (_run(arguments, text) or "").split("\0")[:-1] or [""]
    offset = _ERROR.search(first)
    if offset is None or len(outputs) != len(scripts):
        return [""] * len(scripts)
    return [_first_error(each, before=int(offset[1]) - 1) for each in outputs]


def _single(program: str, script: str) -> str:
    return _first_error(_run([program, "-n"], script) or "")


def _run(arguments: list[str], text: str) -> str | None:
    """The output of a program that reads a text; ``None`` if the program cannot be run."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C"}
    try:
        done = subprocess.run(
            arguments,
            input=text.encode("utf-8", "replace"),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            timeout=_TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace")


def _first_error(printed: str, before: int = 0) -> str:
    """``line 2: unexpected end of file`` from a shell's output; empty if it reports no mistake."""
    found = _ERROR.search(printed)
    if found is None:
        return ""
    line, message = found[1] or found[3], found[2] or found[4]
    return f"line {max(1, int(line) - before)}: {message.removeprefix('Syntax error: ').removeprefix('syntax error: ')}"
