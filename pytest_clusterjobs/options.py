"""Command line and ini options. Imported at every pytest start: nothing heavy here."""

from __future__ import annotations

import os
import re
from argparse import ArgumentTypeError
from functools import cache
from pathlib import Path

import pytest

DEFAULT_MATRICES = ["matrices/**/*.yaml", "matrices/**/*.yml"]

DEFAULT_MAX_JOBS = 1000
"""Jobs submitted and not ended at the same time, unless said otherwise."""


def add_options(parser: pytest.Parser) -> None:
    """Declare every option of the plugin."""
    group = parser.getgroup("clusterjobs", "cluster jobs as test items")
    group.addoption(
        "--cluster-backend",
        metavar="NAME",
        help="run all cells on this backend, whatever their matrices say",
    )
    group.addoption(
        "--cluster-max-jobs",
        type=_positive,
        metavar="N",
        help=f"at most N jobs submitted and not ended at once (default {DEFAULT_MAX_JOBS})",
    )
    group.addoption(
        "--cluster-max-nodes",
        type=_positive,
        metavar="N",
        help="at most N nodes in all jobs submitted and not ended (default: no limit)",
    )
    group.addoption(
        "--cluster-order",
        choices=("completion", "file"),
        default="completion",
        help="report cells as their jobs end, or in file order (default: completion)",
    )
    group.addoption(
        "--cluster-json",
        metavar="PATH",
        help="write the JSON report here, - for stdout, none for nowhere"
        " (default: beside --junitxml's file, else in the run's folder)",
    )
    group.addoption(
        "--cluster-dir",
        metavar="DIR",
        help="keep runs in a folder of this project's in DIR (default: the variable CLUSTERJOBS_DIR, the ini"
        " option cluster_dir, else .clusterjobs in rootdir)",
    )
    group.addoption(
        "--cluster-on-crash",
        choices=("cancel", "keep"),
        default="cancel",
        help="what becomes of the jobs if pytest dies: cancel them, or leave them (default: cancel)",
    )
    group.addoption(
        "--cluster-launch",
        action="store_true",
        help="submit all selected cells and return; the jobs live on (see --cluster-check)",
    )
    group.addoption(
        "--cluster-check",
        metavar="RUN",
        nargs="?",
        const="latest",
        help="judge the jobs of a launched run that have ended; the rest is pending (default: the latest run)",
    )
    group.addoption(
        "--cluster-check-wait", action="store_true", help="with --cluster-check: wait for the rest"
    )
    group.addoption(
        "--cluster-resume",
        metavar="RUN",
        nargs="?",
        const="latest",
        help="go on with a run whose session ended early (default: the latest run)",
    )
    group.addoption(
        "--cluster-kill",
        metavar="RUN",
        nargs="?",
        const="latest",
        help="end the jobs of a run, wait until the cluster confirms it, and exit (default: the latest run)",
    )
    parser.addini(
        "cluster_matrices",
        type="linelist",
        default=DEFAULT_MATRICES,
        help="globs, relative to rootdir, of the YAML files that are matrices",
    )
    parser.addini(
        "cluster_dir",
        type="string",
        default="",
        help="keep runs in a folder of this project's in this one, relative to the ini file's (see --cluster-dir)",
    )
    parser.addini(
        "cluster_require_clean_git",
        type="bool",
        default=False,
        help="refuse to submit from a checkout with uncommitted changes or commits that are not pushed",
    )


def refuse_folder_apart(config: pytest.Config) -> None:
    """Raise pytest.UsageError for ``--cluster-dir DIR`` in two words.

    pytest looks for rootdir before it knows the options of plugins, and takes DIR for a path to tests: once
    that is there, rootdir would be another one.
    """
    words = [*map(str, config.invocation_params.args), *os.environ.get("PYTEST_ADDOPTS", "").split()]
    if "--cluster-dir" in words:
        raise pytest.UsageError("write --cluster-dir=DIR: without = pytest takes DIR for a path to tests")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"a number from 1 up is needed, not {text!r}")
    return int(text)


@cache
def _pattern(glob: str) -> re.Pattern[str]:
    """A glob over ``/`` paths as a regular expression; ``**/`` matches no folder too."""
    pieces = re.split(r"(\*\*/|\*\*|\*|\?)", glob)
    meanings = {"**/": r"(?:[^/]+/)*", "**": r".*", "*": r"[^/]*", "?": r"[^/]"}
    return re.compile("".join(meanings.get(piece, re.escape(piece)) for piece in pieces))


def is_matrix(path: Path, rootdir: Path, globs: list[str]) -> bool:
    """Whether one of the globs claims ``path``."""
    if not path.is_relative_to(rootdir):
        return False
    relative = path.relative_to(rootdir).as_posix()
    return any(_pattern(glob).fullmatch(relative) for glob in globs)
