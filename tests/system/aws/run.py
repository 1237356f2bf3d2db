"""One run on the local AWS Batch, with the real engine and the real backend."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import boto3

from pytest_clusterjobs.backends.aws_batch import TYPE
from pytest_clusterjobs.backends.aws_batch.client import BatchBackend
from pytest_clusterjobs.backends.protocol import BackendContext
from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.engine.config import RunConfig
from pytest_clusterjobs.engine.run import Engine
from pytest_clusterjobs.ledger.ledger import Ledger
from pytest_clusterjobs.model import Cell
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model.records import Registration
from pytest_clusterjobs.model.records import Result
from pytest_clusterjobs.model.token import Token


class Run:
    """Submits the jobs of a test."""

    def __init__(self, folder: Path, run_id: str, site: dict[str, Any]) -> None:
        self.folder = folder
        self.run_id = run_id
        self.site = site
        self._opened: list[BatchBackend] = []

    def open(self, **site: Any) -> BatchBackend:
        """Open the backend again, as another process would."""
        settings = TYPE.validate({**self.site, **site})
        context = BackendContext("aws-batch", self.run_id, self.folder, self.folder, settings)
        backend = TYPE.open(context)
        assert isinstance(backend, BatchBackend)
        self._opened.append(backend)
        return backend

    def close(self) -> None:
        """Close all backends."""
        for backend in self._opened:
            backend.close()

    def token(self, name: str = "x") -> str:
        """A token of this run."""
        return str(Token.of(self.run_id, name, 1))

    def listed(self, queue: str = "local") -> list[dict[str, Any]]:
        """All jobs of the run that AWS Batch lists."""
        filters = [{"name": "JOB_NAME", "values": [f"cj-{self.run_id}-*"]}]
        pages: list[dict[str, Any]] = [{"nextToken": None}]
        while "nextToken" in pages[-1]:
            more = {"nextToken": token} if (token := pages[-1]["nextToken"]) else {}
            pages.append(boto3.client("batch").list_jobs(jobQueue=queue, filters=filters, **more))
        return [job for page in pages[1:] for job in page["jobSummaryList"]]

    def finish(self, *specs: JobSpec, seconds: float = 90.0, **site: Any) -> list[Result]:
        """Run jobs to their ends; return results in the order of ``specs``."""
        backend = self.open(**site)
        number = len(self._opened)
        ledger = Ledger(self.folder / f"{number}.sqlite")
        engine = Engine(RunConfig(self.folder, Site()), self.run_id, ledger, lambda name: backend)
        entries = [_entry(spec, f"{number}-{n}") for n, spec in enumerate(specs)]
        try:
            engine.add(entries)
            end = time.monotonic() + seconds
            found = [engine.wait_for(entry.key, max(1.0, end - time.monotonic())) for entry in entries]
            results = [result for result in found if result is not None]
            assert len(results) == len(specs), f"{len(specs) - len(results)} jobs have no end"
            return results
        finally:
            engine.close(30.0)
            ledger.close()


def _entry(spec: JobSpec, name: str) -> Registration:
    axes = {"recipe": name, "nodes": str(spec.nodes), "condition": "c"}
    cell = Cell(id=name, line=1, axes=axes, backend="aws", spec=spec)
    return Registration(f"m.yaml::{name}", "m.yaml", cell)
