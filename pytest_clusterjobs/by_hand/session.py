"""``open_backend``: jobs without pytest, for scripts and notebooks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ..backends.registry import Site
from ..backends.registry import UnknownBackend
from ..engine.host import RunPlan
from ..engine.host import start_run
from ..engine.runs import new_run_id
from ..engine.runs import runs_dir
from ..reports.clerk import Clerk
from ..settings import read_site
from .jobs import Jobs
from .links import EngineLink

PATIENCE = 60.0
"""Seconds to wait at the end for cancelled jobs; the reaper sees to what takes longer."""


@contextmanager
def open_backend(name: str = "local", *, rootdir: Path | None = None, **settings: Any) -> Iterator[Jobs]:
    """Submit jobs without pytest, one by one: ``with ... as backend: backend.submit("true").wait()``.

    NAME and its settings are those of the project in ``rootdir`` (the current folder), and ``settings``
    go on top. It is a run like pytest's: it has a ledger and a report in ``.clusterjobs/runs``, the
    ``clusterjobs`` command sees it, and no job outlives the block, or the process, for long.
    Raises UnknownBackend, BackendError, LedgerError.
    """
    root = (rootdir or Path.cwd()).resolve()
    site = _site(root, name, settings)
    site.settings(name)
    run_id = new_run_id()
    plan = RunPlan(run_id, runs_dir(root) / run_id, root, site, patience=PATIENCE)
    with start_run(plan) as run:
        clerk = Clerk(run.ledger, plan.folder / "report.json", root, run.engine.core.fail)
        try:
            owner = f"open_backend({name})"
            with Jobs(EngineLink(run), site, owner=owner, path=owner, backend=name) as jobs:
                yield jobs
        finally:
            run.stop()
            clerk.close()


def _site(root: Path, name: str, settings: dict[str, Any]) -> Site:
    try:
        site = read_site(root)
    except pytest.UsageError as error:
        raise UnknownBackend(str(error)) from error
    if not settings:
        return site
    backends = {**site.backends, name: {**site.backends.get(name, {}), **settings}}
    return replace(site, backends=backends, source=f"open_backend({name!r})")
