"""Command line and ini options. Imported whenever pytest starts, so it must not import anything heavy."""

from __future__ import annotations

import os
from argparse import ArgumentTypeError

import pytest

MATRICES = "cluster_matrices"
"""The ini option that says which files are matrices."""

SUFFIXES = (".yaml", ".yml")
"""The suffixes of matrix files, in upper or lower case."""

DEFAULT_FOLDER = "matrices"

DEFAULT_MATRICES = [f"{DEFAULT_FOLDER}/**/*{suffix}" for suffix in SUFFIXES]

DEFAULT_MAX_JOBS = 1000
"""The default for how many jobs are submitted and not ended at the same time."""


def add_options(parser: pytest.Parser) -> None:
    """Declare every option of the plugin."""
    group = parser.getgroup("clusterjobs", "cluster jobs as test items")
    _add_run_options(group)
    _add_mode_options(group)
    _add_ini_options(parser)


def _add_run_options(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--cluster-backend",
        metavar="NAME",
        help="run all cells on this backend, whatever their matrices say",
    )
    group.addoption(
        "--cluster-max-jobs",
        type=_positive,
        metavar="N",
        help=f"have at most N jobs submitted and not ended (default: {DEFAULT_MAX_JOBS})",
    )
    group.addoption(
        "--cluster-max-nodes",
        type=_positive,
        metavar="N",
        help="have at most N nodes in jobs submitted and not ended (default: no limit)",
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
        help="write the JSON report to PATH; - is stdout, none writes no report"
        " (default: beside --junitxml's file, else in the run's folder)",
    )
    group.addoption(
        "--cluster-dir",
        metavar="DIR",
        help="keep this project's runs in a folder below DIR (default: the variable CLUSTERJOBS_DIR, the ini"
        " option cluster_dir, else .clusterjobs in rootdir)",
    )
    group.addoption(
        "--cluster-on-crash",
        choices=("cancel", "keep"),
        default="cancel",
        help="cancel the jobs if pytest dies, or keep them running (default: cancel)",
    )


def _add_mode_options(group: pytest.OptionGroup) -> None:
    group.addoption(
        "--cluster-launch",
        action="store_true",
        help="submit all selected cells and exit; the jobs keep running (see --cluster-check)",
    )
    group.addoption(
        "--cluster-check",
        metavar="RUN",
        nargs="?",
        const="latest",
        help="judge the jobs of a launched run that have ended; the others are pending (default: the latest run)",
    )
    group.addoption(
        "--cluster-check-wait",
        action="store_true",
        help="with --cluster-check: wait for jobs that have not ended",
    )
    group.addoption(
        "--cluster-resume",
        metavar="RUN",
        nargs="?",
        const="latest",
        help="continue a run whose session ended early (default: the latest run)",
    )


def _add_ini_options(parser: pytest.Parser) -> None:
    parser.addini(
        MATRICES,
        type="linelist",
        default=DEFAULT_MATRICES,
        help="globs, relative to rootdir, of the YAML files that are matrices",
    )
    parser.addini(
        "cluster_dir",
        type="string",
        default="",
        help="keep this project's runs in a folder below this one; relative to the ini file (see --cluster-dir)",
    )
    parser.addini(
        "cluster_require_clean_git",
        type="bool",
        default=False,
        help="refuse to submit from a checkout with uncommitted changes or commits that are not pushed",
    )


def reject_separate_folder(config: pytest.Config) -> None:
    """Raise pytest.UsageError for ``--cluster-dir DIR`` as two arguments.

    pytest determines rootdir before it knows the options of plugins, and treats DIR as a path to tests. As
    soon as DIR exists, rootdir would change.
    """
    arguments = [*map(str, config.invocation_params.args), *os.environ.get("PYTEST_ADDOPTS", "").split()]
    if "--cluster-dir" in arguments:
        raise pytest.UsageError("write --cluster-dir=DIR: without = pytest takes DIR for a path to tests")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise ArgumentTypeError(f"must be a whole number of at least 1, not {text!r}")
    return int(text)
