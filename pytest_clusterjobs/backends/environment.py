"""A job's environment, the same on every backend."""

from __future__ import annotations

import os
import zlib
from collections.abc import Mapping

from ..model import JobSpec
from ..model.paths import utf8
from ..model.token import Token
from .protocol import SubmissionRejected

TOKEN_VARIABLE = "CLUSTERJOBS_TOKEN"
"""Marks every process of a job, so that its leftovers can be found."""

FIRST_PORT = 20000
PORTS = 12000
"""Master ports stay below 32768, where Linux begins to give ports away by itself."""

_NOT_INHERITED = ("PYTEST_", "CLUSTERJOBS_", "COV_", "COVERAGE_")


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The part of the launching process's environment that a job may inherit, without the test run's own."""
    kept = ((name, value) for name, value in environ.items() if not name.startswith(_NOT_INHERITED))
    return {utf8(name): utf8(value) for name, value in kept}


def job_variables(spec: JobSpec, token: str) -> dict[str, str]:
    """The variables common to all nodes and starts of an attempt: ``spec.env`` and those naming the job."""
    parts = Token.parse(token)
    return {
        **spec.env,
        TOKEN_VARIABLE: token,
        "CLUSTERJOBS_RUN_ID": parts.run_id,
        "CLUSTERJOBS_CELL": spec.name,
        "CLUSTERJOBS_RECIPE": spec.recipe,
        "CLUSTERJOBS_CONDITION": spec.condition,
        "CLUSTERJOBS_ATTEMPT": str(parts.attempt),
        "CLUSTERJOBS_NUM_NODES": str(spec.nodes),
    }


def secrets_of(spec: JobSpec) -> dict[str, str]:
    """The values of the job's secrets, from this process's environment. Raises SubmissionRejected."""
    missing = [name for name in spec.secrets if name not in os.environ]
    if missing:
        raise SubmissionRejected(f"not set in the environment: {', '.join(missing)} (named under secrets)")
    return {name: utf8(os.environ[name]) for name in spec.secrets}


def node_variables(
    *, rank: int, restarts: int, address: str, port: int, hostfile: str, heartbeat_file: str
) -> dict[str, str]:
    """The variables that differ by node and start."""
    return {
        "CLUSTERJOBS_NODE_RANK": str(rank),
        "CLUSTERJOBS_RESTARTS": str(restarts),
        "CLUSTERJOBS_MASTER_ADDR": address,
        "CLUSTERJOBS_MASTER_PORT": str(port),
        "CLUSTERJOBS_HOSTFILE": hostfile,
        "CLUSTERJOBS_HEARTBEAT_FILE": heartbeat_file,
    }


def master_port(token: str, turn: int = 0) -> int:
    """The port on which rank 0 may listen, derived from the token: below the ephemeral range.

    ``turn`` gives further candidates if the first is in use.
    """
    return FIRST_PORT + (zlib.crc32(token.encode()) + 101 * turn) % PORTS
