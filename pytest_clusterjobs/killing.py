"""``pytest --cluster-kill``: no session, only an end to another one's jobs."""

from __future__ import annotations

import click
import pytest

from .backends.protocol import BackendError
from .backends.registry import UnknownBackend
from .cli.kill import kill_run
from .cli.project import Project
from .cluster_dir import home_of
from .engine.ledger import LedgerError
from .judge.text import one_line
from .settings import run_to_kill


def kill(config: pytest.Config) -> int:
    """End the jobs of the run that the command line names; pytest's exit code. Raises pytest.UsageError."""
    project = Project(config.rootpath, home_of(config))
    try:
        clean = kill_run(run_to_kill(config), project, "pytest --cluster-kill")
    except (LedgerError, BackendError, UnknownBackend) as error:
        raise pytest.UsageError(f"--cluster-kill: {one_line(str(error), 2000)}") from error
    except click.ClickException as error:
        raise pytest.UsageError(f"--cluster-kill: {one_line(error.message, 2000)}") from error
    return pytest.ExitCode.OK if clean else pytest.ExitCode.TESTS_FAILED
