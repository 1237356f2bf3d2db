"""``clusterjobs launch``, ``check`` and ``resume``: run pytest with the corresponding option."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from .options import pass_project
from .options import run_option
from .project import Project

_AS_PYTEST = {"ignore_unknown_options": True, "allow_interspersed_args": False}


def _exec_pytest(project: Project, *arguments: str) -> NoReturn:
    """Replace this process with pytest, so that signals and exit codes are pytest's."""
    sys.stdout.flush()
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *project.options, *arguments])


@click.command(context_settings=_AS_PYTEST)
@click.argument("arguments", nargs=-1, metavar="[PATHS...] [PYTEST OPTIONS]")
@pass_project
def launch(project: Project, arguments: Sequence[str]) -> None:
    """Submit all cells in PATHS and return; the jobs keep running.

    All arguments are passed to pytest. Exit codes are pytest's.
    """
    _exec_pytest(project, "--cluster-launch", *arguments)


@click.command(context_settings=_AS_PYTEST)
@run_option
@click.option("--wait", is_flag=True, help="Wait for jobs that have not ended.")
@click.argument("arguments", nargs=-1, metavar="[PATHS...] [PYTEST OPTIONS]")
@pass_project
def check(project: Project, run: str | None, wait: bool, arguments: Sequence[str]) -> None:
    """Judge the jobs of a launched run that have ended; the other cells are pending.

    Options of this command come before PATHS; all that follows is passed to pytest. Exit codes are pytest's.
    """
    waiting = ("--cluster-check-wait",) if wait else ()
    _exec_pytest(project, f"--cluster-check={run or 'latest'}", *waiting, *arguments)


@click.command(context_settings=_AS_PYTEST)
@run_option
@click.argument("arguments", nargs=-1, metavar="[PATHS...] [PYTEST OPTIONS]")
@pass_project
def resume(project: Project, run: str | None, arguments: Sequence[str]) -> None:
    """Continue a run whose session ended early.

    Options of this command come before PATHS; all that follows is passed to pytest. Exit codes are pytest's.
    """
    _exec_pytest(project, f"--cluster-resume={run or 'latest'}", *arguments)
