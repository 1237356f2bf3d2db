"""``open_backend``: jobs without pytest, for scripts and notebooks."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from ..backends.registry import read_site
from ..backends.registry import Site
from ..engine.config import RunConfig
from ..engine.host import start_run
from ..ledger.home import Home
from ..ledger.ledger import LedgerError
from ..ledger.run_folder import new_run_id
from ..ledger.run_folder import REPORT
from ..reports.writer import ReportWriter
from .jobs import Jobs
from .project import find
from .run_client import InProcessRun
from .validation import path
from .validation import text

CANCEL_TIMEOUT_SECONDS = 60.0
"""Seconds to wait at the end for cancelled jobs; the reaper handles what takes longer."""


def open_backend(
    name: str = "local", *, rootdir: str | os.PathLike[str] | None = None, **settings: Any
) -> Opening:
    """Submit jobs without pytest, one by one: ``with ... as backend: backend.submit("true").wait()``.

    NAME and its settings are those of the project in ``rootdir`` (the current folder); ``settings`` override
    them. The block is a run like pytest's: its ledger and report are kept with the project's, the
    ``clusterjobs`` command sees it, and its jobs are cancelled when the block or the process ends. A block
    that ends without an exception first waits for the jobs that have an ``expect``, and raises
    UnmetExpectation if one ended otherwise. Raises TypeError, SiteError; the block raises BackendError,
    LedgerError.
    """
    root = Path.cwd() if rootdir is None else path("rootdir", rootdir).resolve()
    if not root.is_dir():
        raise NotADirectoryError(f"open_backend: rootdir is not a folder: {root}")
    site = _site(root, text("name", name), settings)
    site.capabilities(name)
    return Opening(name, root, _home(root), site)


class Opening(AbstractContextManager[Jobs]):
    """A backend that a ``with`` block opens."""

    def __init__(self, name: str, root: Path, home: Home, site: Site) -> None:
        self._name = name
        self._run = _opened(name, root, home, site)

    def __enter__(self) -> Jobs:
        return self._run.__enter__()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool | None:
        return self._run.__exit__(kind, error, trace)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(
            f"open_backend() is for a with block: with open_backend({self._name!r}) as backend: backend.{name}"
        )


@contextmanager
def _opened(name: str, root: Path, home: Home, site: Site) -> Iterator[Jobs]:
    home.make()
    config = RunConfig(root, site, cancel_timeout=CANCEL_TIMEOUT_SECONDS)
    with start_run(config, home.runs / new_run_id()) as run:
        writer = ReportWriter(run.ledger, run.folder / REPORT, root, run.engine.fail)
        try:
            owner = f"open_backend({name})"
            with Jobs(InProcessRun(run), site, owner=owner, path=owner, backend=name) as jobs:
                yield jobs
                jobs.check()
        finally:
            run.stop()
            writer.close()


def _home(root: Path) -> Home:
    try:
        return find(rootdir=str(root)).home
    except pytest.UsageError as error:
        raise LedgerError(str(error)) from error


def _site(root: Path, name: str, settings: dict[str, Any]) -> Site:
    site = read_site(root)
    if not settings:
        return site
    backends = {**site.backends, name: {**site.backends.get(name, {}), **settings}}
    # Without the text of pyproject.toml: its lines are not those of the given settings.
    return replace(site, backends=backends, source=f"open_backend({name!r})", text="")
