"""The sentinel's script as it is delivered: only the parts that a job needs, under short names."""

from __future__ import annotations

import math
import re
import shlex
import subprocess
from collections.abc import Iterable
from functools import cache
from functools import lru_cache
from pathlib import Path
from shutil import which
from string import ascii_letters
from string import ascii_lowercase
from string import ascii_uppercase
from string import digits

from ...model import JobSpec
from ...model.token import nonce
from ..shell import strip_comments

_NAME = re.compile(r"\bcj_[a-z]+\b")
_DEFINITION = re.compile(r"\bcj_[a-z]+(?=\(\))")
_CALL = re.compile(r"(?:(?<=[\n;&|{(\" ])|^)cj_[a-z]+(?=\(\)| |;|&|\||$)(?!=)", re.MULTILINE)
_VALUE = re.compile(r"\b(?:SHELL|OPTIONS|EVERY|SILENT)\b")
SHELL_OPTIONS = {"bash": "-eo pipefail", "sh": "-e"}
_PREFIXES: tuple[str, ...] = ("_", *ascii_lowercase, *ascii_uppercase)
_BLANKS = re.compile(r" ?(&&|\|\||;|[<>]+(?=[&$\"/])|&(?= ?wait)) ?| (?=&$)", re.MULTILINE)
_LETTERS = ascii_letters + digits


def argv(
    spec: JobSpec,
    token: str,
    *,
    workdir: str = "",
    prelude: str = "",
    leader: str = "",
    inherited: Iterable[str] = (),
) -> list[str]:
    """The command line that runs ``spec`` on one node; its first element is the name of the shell.

    ``workdir`` is the working folder of the job (empty: the folder where the sentinel is started).
    ``prelude`` is sh that runs first, for a cluster on which rank and restart count
    (``CLUSTERJOBS_NODE_RANK``, ``CLUSTERJOBS_RESTARTS``) are known on the node only. A trap that it sets on
    EXIT may read the script's variables (``cj_word``, ``cj_line``), by the names of ``sentinel.sh``.
    ``leader`` is a command that creates a session, if the caller knows one (empty: the sentinel looks for
    one). ``inherited`` names the variables that the job will have in addition to its own: the script's names
    differ from them.
    """
    parts = frozenset(
        {
            *(["heartbeat"] if spec.heartbeat_timeout else []),
            *(["workdir"] if workdir else []),
            "setup" if spec.setup else "plain",
            spec.shell,
        }
    )
    prefix = _prefix(frozenset({*spec.env, *spec.secrets, *inherited}))
    return [
        "sh",
        "-c",
        _script(spec, parts, prefix, prelude),
        "sentinel",
        nonce(token),
        str(_centiseconds(spec.max_runtime)),
        str(_timer_sleep(spec.max_runtime)),
        str(_centiseconds(spec.grace_period)),
        leader,
        _command(spec, parts, prefix),
        workdir,
        spec.run,
        *([spec.setup] if spec.setup else spec.args),
    ]


@cache
def setsid_command() -> str:
    """The best ``leader`` on this machine, found once for all jobs. Empty if there is none."""
    setsid, env = which("setsid"), which("env")
    if setsid is None or " " in setsid:
        return ""
    via = [env or "env", "--default-signal=INT,QUIT"]
    try:
        done = subprocess.run([*via, "true"], check=False, capture_output=True)
    except OSError:
        return setsid
    return " ".join([setsid, *via]) if done.returncode == 0 else setsid


def seconds(value: float) -> str:
    """A duration in seconds as ``sleep`` accepts it: a whole number if possible, never with an exponent."""
    return str(int(value)) if value == int(value) else f"{value:.3f}"


def heartbeat_checks(timeout: float) -> tuple[int, int]:
    """The interval of the heartbeat checks in centiseconds, and how many may pass without a heartbeat.

    The interval is an eighth of the timeout, but at least 0.1 s and at most 0.5 s.
    """
    interval = min(50, max(10, round(100 * timeout / 8)))
    return interval, max(1, math.ceil(100 * timeout / interval - 1e-6))


def _centiseconds(value: float) -> int:
    return max(1, round(100 * value))


def _timer_sleep(limit: float) -> int:
    """Centiseconds of one sleep of a timer: each sleep costs a process, and hides a shorter suspension."""
    return min(500, max(25, round(limit)))


def _script(spec: JobSpec, parts: frozenset[str], prefix: str, prelude: str) -> str:
    interval, silent = heartbeat_checks(spec.heartbeat_timeout) if spec.heartbeat_timeout else (0, 0)
    values = {
        "SHELL": spec.shell,
        "OPTIONS": SHELL_OPTIONS[spec.shell],
        "EVERY": str(interval),
        "SILENT": str(silent),
    }
    text = _VALUE.sub(lambda match: values[match[0]], _assembled("sentinel.sh", parts))
    return _abbreviated(f"{prelude}\n{text}" if prelude else text, prefix)


def _command(spec: JobSpec, parts: frozenset[str], prefix: str) -> str:
    """The script that is passed to the command's shell by ``-c``."""
    text = _abbreviated(";".join(_assembled("command.sh", parts).splitlines()), prefix).replace(
        "MODE", f"set {SHELL_OPTIONS[spec.shell]}"
    )
    return text.replace("ARGS", shlex.join(spec.args))


@lru_cache(maxsize=256)
def _prefix(names: frozenset[str]) -> str:
    """A prefix for the script's variables, such that no variable of the job has one of their names."""
    taken = {name[:-1] for name in names if len(name) == 2}
    return next((prefix for prefix in _PREFIXES if prefix not in taken), _PREFIXES[0])


def _abbreviated(text: str, prefix: str) -> str:
    """Shell text with short names: one letter for a function, two for a variable."""
    functions, variables = _short_names()
    text = _CALL.sub(lambda match: functions.get(match[0], match[0]), text)
    return _NAME.sub(lambda match: prefix + variables[match[0]] if match[0] in variables else match[0], text)


@cache
def _short_names() -> tuple[dict[str, str], dict[str, str]]:
    """The short name of each function, and of each variable without its prefix."""
    text = _source("sentinel.sh") + _source("command.sh")
    functions = sorted(set(_DEFINITION.findall(text)))
    return (
        dict(zip(functions, ascii_uppercase, strict=False)),
        dict(zip(sorted(set(_NAME.findall(text))), _LETTERS, strict=False)),
    )


@cache
def _source(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="ascii")


@lru_cache(maxsize=64)
def _assembled(name: str, parts: frozenset[str]) -> str:
    """A script without the blocks (``#+ PART`` to ``#-``, may be nested) that are not among ``parts``."""
    kept, stack = [], [True]
    for line in _source(name).splitlines():
        if line.startswith("#+ "):
            stack.append(stack[-1] and line[3:] in parts)
        elif line == "#-":
            stack.pop()
        elif stack[-1]:
            kept.append(line)
    return _BLANKS.sub(lambda match: match[1] or "", strip_comments("\n".join(kept)))
