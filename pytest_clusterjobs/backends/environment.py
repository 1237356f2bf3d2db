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
"""This variable identifies every process of a job, so that leftover processes can be found."""

FIRST_MASTER_PORT = 20000
MASTER_PORT_COUNT = 12000
"""Master ports are below 32768, where Linux's ephemeral ports begin."""

_NOT_INHERITED = ("PYTEST_", "CLUSTERJOBS_", "COV_", "COVERAGE_")


def inherited(environ: Mapping[str, str]) -> dict[str, str]:
    """The environment that a job may inherit, without the variables of the test run."""
    kept = ((name, value) for name, value in environ.items() if not name.startswith(_NOT_INHERITED))
    return {utf8(name): utf8(value) for name, value in kept}


def job_variables(spec: JobSpec, token: str) -> dict[str, str]:
    """The variables that are the same on all nodes and in all starts of an attempt."""
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
        raise SubmissionRejected(f"secrets: not set in the environment: {', '.join(missing)}")
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


def master_port(token: str, candidate: int = 0) -> int:
    """The port on which rank 0 may listen, derived from the token.

    ``candidate`` numbers further ports, for use if the first is taken.
    """
    return FIRST_MASTER_PORT + (zlib.crc32(token.encode()) + 101 * candidate) % MASTER_PORT_COUNT
