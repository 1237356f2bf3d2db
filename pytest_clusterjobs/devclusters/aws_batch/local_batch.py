"""AWS Batch on this machine: start it, use it, stop it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..supervisor import ClusterError
from ..supervisor import Daemons
from ..supervisor import from_extra
from ..supervisor import LocalCluster
from ..supervisor import Missing
from .client import BatchClient
from .client import Facts
from .client import READY

SERVER = "pytest_clusterjobs.devclusters.aws_batch.server"
PATIENCE = 120.0
"""Seconds that the start may take; it takes two or three when nothing else runs."""


class LocalBatch(BatchClient, LocalCluster):
    """An AWS Batch of its own, in a folder of its own, as a context manager.

    moto's server has the queues and the logs; jobs are real processes of this user, without any isolation: their
    images are names, and their file system is this machine's. It listens on the loopback interface alone, and only to
    those who have its access key. Everything ends with the context, and with this process, however that ends.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        region: str = "us-east-1",
        queue: str = "local",
        slots: int = 64,
        port: int = 0,
        workdir: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Plan it. Raises Missing, and ClusterError for a folder that is not empty.

        Without a ``folder`` a temporary one is used, and removed at the end. ``slots`` is how many containers run
        at once. ``port`` 0 is any that is free. ``workdir`` is where jobs begin, as if all images had been made of
        what is there; without it each begins in an empty folder of its own. ``environment`` is what the job
        definitions that are there from the start give their jobs.
        """
        if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
            raise Missing("moto", from_extra("aws-local"))
        self._temporary = folder is None
        if folder is not None:
            self.folder = _own(folder)
        begin = None if workdir is None else str(workdir.absolute())
        self._options: dict[str, Any] = {
            "region": region,
            "queue": queue,
            "slots": slots,
            "port": port,
            "workdir": begin,
            "environment": dict(environment or {}),
        }
        self._daemons: Daemons | None = None

    def start(self) -> None:
        """Start everything; return when it answers. Raises ClusterError, and leaves nothing then."""
        if self._temporary:
            self.folder = Path(tempfile.mkdtemp(prefix="clusterjobs-aws-"))
        try:
            self._start_server()
            super().__init__(self.folder, self._facts_when_ready())
        except BaseException:
            self.stop()
            if self._temporary:
                # There may not have been a supervisor to do it.
                shutil.rmtree(self.folder, ignore_errors=True)
            raise

    def _start_server(self) -> None:
        for name in ("run", "log", "containers"):
            (self.folder / name).mkdir()
        (self.folder / "options.json").write_text(json.dumps(self._options))
        self._daemons = Daemons(self.folder, _environment())
        if self._temporary:
            self._daemons.remove_at_end(self.folder)
        self._daemons.start("server", [sys.executable, "-m", SERVER, str(self.folder)])

    def stop(self) -> None:
        """End the server and every job at once; a second time does nothing. Raises ClusterError if something stays."""
        daemons, self._daemons = self._daemons, None
        if daemons is not None:
            daemons.close()

    def check(self) -> None:
        """Raise ClusterError if the server has ended by itself."""
        dead = self._daemons.dead() if self._daemons is not None else []
        if dead:
            raise ClusterError(f"the server ended: {self._last_words()}")

    def _facts_when_ready(self) -> Facts:
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            self.check()
            if (self.folder / READY).exists():
                return Facts.read(self.folder)
            time.sleep(0.02)
        raise ClusterError(f"the server is not ready after {PATIENCE:.0f} s: {self._last_words()}")

    def _last_words(self) -> str:
        log = self.folder / "log" / "server.out"
        lines = log.read_text(errors="replace").split("\n") if log.exists() else []
        said = [line for line in lines if line.strip()]
        where = "" if self._temporary else f" (in {log})"
        return f"{said[-1][:400] if said else 'it said nothing'}{where}"


def _own(folder: Path) -> Path:
    """The folder, made. Raises ClusterError if it is not empty."""
    folder = folder.absolute()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise ClusterError(f"{folder} is not empty")
    return folder


def _environment() -> dict[str, Any]:
    """What the server needs; nothing of it reaches a job but PATH."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG", "HOME") if name in os.environ}
    return {
        **kept,
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "MOTO_ALLOW_NONEXISTENT_REGION": "1",
    }
