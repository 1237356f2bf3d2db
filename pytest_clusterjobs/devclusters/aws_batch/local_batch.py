"""AWS Batch on this machine: start it, use it, stop it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..supervisor import Daemons
from ..supervisor import from_extra
from ..supervisor import inherited_environment
from ..supervisor import LocalCluster
from ..supervisor import make_empty_folder
from ..supervisor import Missing
from .client import BatchClient
from .client import ServerInfo

SERVER = "pytest_clusterjobs.devclusters.aws_batch.server"


class LocalBatch(BatchClient, LocalCluster[BatchClient]):
    """A private AWS Batch on this machine, in a folder of its own, as a context manager.

    moto's server has the queues and the logs. Jobs are real processes of this user, without any isolation:
    images are only names, and the file system is this machine's. The server listens only on the loopback
    interface, and accepts only requests with its access key. Server and jobs end with the ``with`` block, and
    with this process, even after a ``kill -9``.
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
        """Plan the server; nothing is started yet.

        Raises Missing, and ClusterError for a folder that is not empty.

        - ``folder``: by default a temporary folder is used, and removed at the end.
        - ``slots``: at most this number of containers runs at once.
        - ``port``: 0 is any free port.
        - ``workdir``: the working directory of jobs, as if all images contained this folder; by default each
          job has an empty folder of its own.
        - ``environment``: variables in the job definitions that exist from the start.
        """
        if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
            raise Missing("moto", from_extra("aws-local"))
        self._temporary = folder is None
        self._keeps_logs = not self._temporary
        if folder is not None:
            self.folder = folder.absolute()
            make_empty_folder(self.folder)
        begin = None if workdir is None else str(workdir.absolute())
        self._options: dict[str, Any] = {
            "region": region,
            "queue": queue,
            "slots": slots,
            "port": port,
            "workdir": begin,
            "environment": dict(environment or {}),
        }

    def start(self) -> None:
        """Start the server; return when it answers. Raises ClusterError; then no process is left."""
        if self._temporary:
            self.folder = Path(tempfile.mkdtemp(prefix="clusterjobs-aws-"))
        try:
            self._start_server()
            self._wait((self.folder / self.ready_file).exists, "the server to be ready", "server")
            super().__init__(self.folder, ServerInfo.read(self.folder))
        except BaseException:
            self.stop()
            if self._temporary:
                # The supervisor removes the folder, but may not have been started.
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


def _environment() -> dict[str, str]:
    """The server's variables; a job gets only PATH of them."""
    return {
        **inherited_environment(),
        "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        "MOTO_ALLOW_NONEXISTENT_REGION": "1",
    }
