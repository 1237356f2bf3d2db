"""Commands to paste: run in this session's directory, they use the same project, plugins and settings."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from collections.abc import Collection
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pytest

RERUN = "clusterjobs_rerun"
"""The key under which xdist workers receive ``run_again``."""

_MODES = {
    "--cluster-launch": "",
    "--cluster-check": "?",
    "--cluster-check-wait": "",
    "--cluster-resume": "?",
    "-n": "=",
    "--numprocesses": "=",
}
"""Options that a check or resume replaces, and whether a value follows: no, maybe (``?``), always (``=``)."""

_AROUND = {
    "-c": "=",
    "--config-file": "=",
    "--rootdir": "=",
    "--confcutdir": "=",
    "--import-mode": "=",
    "-p": "=",
    "-o": "=",
    "--override-ini": "=",
    "--cluster-backend": "=",
    "--cluster-dir": "=",
}
"""Options that determine the project, plugins and settings, whatever is selected."""


def resume_command(config: pytest.Config, mode: str) -> str:
    """The command of this session with ``mode``, such as ``--cluster-check=RUN``, in place of its own."""
    # Also if the ini file has -n, which cannot be combined with a check or a resume.
    alone = ["-n0"] if getattr(config.option, "numprocesses", None) else []
    kept = (token for name, token in _named(_arguments(config), {**_AROUND, **_MODES}) if name not in _MODES)
    return shlex.join([*program("pytest", "pytest"), mode, *alone, *kept])


def run_again(config: pytest.Config) -> str:
    """The beginning of a command that reruns a part of this session, wherever its report is read."""
    kept = (token for name, token in _named(_arguments(config), _AROUND) if name in _AROUND)
    return shlex.join(["pytest", *kept])


def _arguments(config: pytest.Config) -> list[str]:
    return [os.fspath(each) for each in config.invocation_params.args]


def _named(arguments: Iterable[str], options: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Each token of a command line, with the option of ``options`` that it belongs to, or ``""``."""
    open_for, follows = "", ""
    for token in arguments:
        if follows == "=" or (follows == "?" and not token.startswith("-")):
            follows = ""
            yield open_for, token
            continue
        name = _option(token, options)
        open_for, follows = name, options[name] if name == token else ""
        yield name, token


def _option(token: str, options: Collection[str]) -> str:
    name = token.partition("=")[0] if token.startswith("--") else token[:2] if token.startswith("-") else ""
    return name if name in options else ""


def program(name: str, module: str) -> list[str]:
    """The shortest command that starts the same program in this shell."""
    started = sys.argv[0]
    if Path(started).name == name:
        return [name if _is_found(name, started) else started]
    python = Path(sys.executable).name
    return [python if _is_found(python, sys.executable) else sys.executable, "-m", module]


def _is_found(name: str, path: str) -> bool:
    """Whether a shell runs ``path`` for the command ``name``."""
    # Not resolved: the python of a virtual environment is a link to one without its packages.
    found = shutil.which(name)
    return found is not None and os.path.abspath(found) == os.path.abspath(path)
