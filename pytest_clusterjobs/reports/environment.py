"""The environment in which a run was started, for the reports and for the clean-checkout rule."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path
from typing import Any
from typing import TypedDict

import pytest

from .._version import __version__


class GitState(TypedDict):
    """The checkout that a run was started from."""

    commit: str
    branch: str | None
    """``None`` on a detached HEAD."""
    dirty: bool
    """Whether tracked files are changed. Untracked files, such as earlier reports, do not count."""
    pushed: bool
    """Whether a remote branch that this checkout knows contains the commit."""


def git_state(folder: Path) -> GitState | None:
    """The state of the checkout that ``folder`` is in; None if it is in none or has no commit."""
    commit = _git(folder, "rev-parse", "--verify", "HEAD")
    if commit is None:
        return None
    return GitState(
        commit=commit,
        branch=_git(folder, "symbolic-ref", "--short", "-q", "HEAD") or None,
        dirty=bool(_git(folder, "status", "--porcelain", "-uno", "--ignore-submodules=untracked")),
        pushed=bool(_git(folder, "branch", "-r", "--contains", commit)),
    )


def _git(folder: Path, *arguments: str) -> str | None:
    environment = {**os.environ, "GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    try:
        done = subprocess.run(
            ["git", *arguments],
            check=False,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=30,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def describe_environment(config: pytest.Config) -> dict[str, Any]:
    """The ledger's description of the environment. Arguments may contain secrets and are left out."""
    return {
        "version": __version__,
        "environment": {
            "python": platform.python_version(),
            "pytest": pytest.__version__,
            "platform": platform.platform(),
            "host": platform.node(),
            "backend": config.option.cluster_backend,
        },
        "junit": _junit_settings(config),
    }


def _junit_settings(config: pytest.Config) -> dict[str, Any] | None:
    """The project's JUnit XML settings, for a later rebuild; None without pytest's junitxml plugin."""
    if not config.pluginmanager.hasplugin("junitxml"):
        return None
    names = ("family", "suite_name", "logging", "log_passing_tests", "duration_report")
    settings = {f"junit_{name}": config.getini(f"junit_{name}") for name in names}
    return {"prefix": config.option.junitprefix, "ini": settings}
