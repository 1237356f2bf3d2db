"""The batch script of a job, as a pure function."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from ...model import JobSpec
from ...model.token import nonce
from .. import sentinel
from ..environment import job_variables
from ..environment import master_port
from ..shell import section
from .job_folder import JobFolder

BASH = Path("/bin/bash")
"""The shell of the batch script, if the submitting machine has it. Other shells drop exported functions."""

MAX_HEAD_BYTES = 1 << 16
"""Bytes of a script's beginning that are searched for the number of ranks."""

_SHAPE = re.compile(
    r"^clusterjobs_dir=.* clusterjobs_max=(?P<max>[0-9]+) clusterjobs_ranks=(?P<ranks>[0-9]+)$", re.MULTILINE
)
_DELETE_SECRETS = 'delete_secrets() { rm -f "$clusterjobs_dir/secrets"; }'


@dataclass(frozen=True, slots=True)
class Submission:
    """Everything that a scheduler is given."""

    command: tuple[str, ...]
    """The submit command."""
    script: str
    """The content of the file that the last argument names."""

    def __str__(self) -> str:
        return f"{shlex.join(self.command)}\n{self.script}"


@dataclass(frozen=True, slots=True)
class BatchEnvironment:
    """What a scheduler provides to a batch script, as text for sh."""

    scheduler: str
    """Its name in messages."""
    job_id: str
    """The variable with the job's id, as the submit command prints it: ``PBS_JOBID``."""
    node: str = "$(uname -n)"
    """The name of the node, within double quotes."""
    hosts: str = "uname -n"
    """A command that prints the job's hosts by rank, one a line."""
    unset: tuple[str, ...] = ()
    """Variables that the job must not see, such as credentials of the scheduler."""

    def fill(self, text: str) -> str:
        """A section of ``job.sh`` with these values."""
        filled = text.replace("JOBID", self.job_id).replace("NODENAME", self.node)
        return filled.replace("HOSTS", self.hosts).replace("SCHEDULER", self.scheduler)


@dataclass(frozen=True, slots=True)
class Launch:
    """How a batch script starts the ranks of a job, as text for sh."""

    functions: str
    """Defines ``begin`` (sets ``clusterjobs_child``), ``deliver SIGNAL`` and ``end``
    (sets ``clusterjobs_code``)."""
    command: str
    """Becomes the body of ``launch``, which ``begin`` calls."""


def one_node_script(
    spec: JobSpec,
    token: str,
    folder: JobFolder,
    *,
    batch: BatchEnvironment,
    rootdir: Path,
    inherited: Iterable[str] = (),
) -> str:
    """The batch script of a job on one node. ``inherited`` names the variables that the job inherits."""
    wrapped = sentinel.argv(spec, token, workdir=str(rootdir / (spec.workdir or "")), inherited=inherited)
    return batch_script(spec, token, folder, batch, wrapped, one_node_launch(spec, token, wrapped, batch))


def batch_script(
    spec: JobSpec,
    token: str,
    folder: JobFolder,
    batch: BatchEnvironment,
    wrapped: Sequence[str],
    launch: Launch,
) -> str:
    """The batch script; ``wrapped`` is the command line of the sentinel on each node.

    It contains only what the job needs, and it starts as few processes as possible: a thousand jobs of a
    second each are common.
    """
    has_cr = any("\r" in word for word in [*wrapped, *spec.env.values()])
    again = _section("again").replace("NONCE", nonce(token)) if spec.max_restarts else "again() { false; }"
    parts = [
        f"#!{BASH} -p" if BASH.exists() else "#!/bin/sh",
        f"# {spec.name}: {token}, written by pytest-clusterjobs. Options are arguments of the submit command.",
        "clusterjobs_cr=$(printf '\\r')" if has_cr else "",
        f"clusterjobs_dir={quote(str(folder.path))} clusterjobs_max={spec.max_restarts}"
        f" clusterjobs_ranks={spec.nodes}",
        batch.fill(_head(spec)).replace("NONCE", nonce(token)),
        f"unset {' '.join(batch.unset)}" if batch.unset else "",
        again,
        *_secrets(spec),
        launch.functions,
        "launch() {",
        launch.command,
        "}",
        batch.fill(_section("loop")),
    ]
    return "\n".join(part for part in parts if part) + "\n"


def one_node_launch(spec: JobSpec, token: str, wrapped: Sequence[str], batch: BatchEnvironment) -> Launch:
    """One node: the sentinel is the batch script's child, so a kill for memory counts as the job's own."""
    variables = assignments(
        spec,
        token,
        CLUSTERJOBS_NODE_RANK="0",
        CLUSTERJOBS_MASTER_ADDR="127.0.0.1",
        CLUSTERJOBS_HEARTBEAT_FILE="$clusterjobs_home/beat",
    )
    log = '"$clusterjobs_dir/log.$clusterjobs_n.0"'
    return Launch(
        "\n".join([batch.fill(_section("direct")).replace("NONCE", nonce(token)), _home(spec, token)]),
        f"{variables} exec \\\n$clusterjobs_via $clusterjobs_sh {quote_all(wrapped[1:])} >>{log} 2>&1",
    )


def ranks_and_restarts(script: Path) -> tuple[int, int]:
    """The number of ranks and of allowed restarts, from a script that was written before.

    If the script is gone: one rank, which may have been restarted.
    """
    with suppress(OSError), open(script, encoding="utf-8", errors="replace") as file:
        match = _SHAPE.search(file.read(MAX_HEAD_BYTES))
        if match:
            return int(match["ranks"]), int(match["max"])
    return 1, 1


def quote(text: str) -> str:
    """``text`` as one word of sh, without CR: sbatch rejects a script in which one ends a line."""
    return shlex.quote(text).replace("\r", "'\"$clusterjobs_cr\"'")


def quote_all(words: Iterable[str]) -> str:
    """Words of sh, separated by blanks."""
    return " ".join(map(quote, words))


def assignments(spec: JobSpec, token: str, **here: str) -> str:
    """The command's environment, as assignments before a command; ``here`` is text for sh."""
    here = {
        "CLUSTERJOBS_RESTARTS": "$clusterjobs_n",
        "CLUSTERJOBS_HOSTFILE": "$clusterjobs_dir/hosts",
        **here,
    }
    fixed = {**job_variables(spec, token), "CLUSTERJOBS_MASTER_PORT": str(master_port(token))}
    words = [f"{name}={text}" for name, text in here.items()]
    words += [f"{name}={quote(value)}" for name, value in fixed.items() if name not in here]
    return " ".join(words)


def _head(spec: JobSpec) -> str:
    """The beginning of every script; without secrets there is nothing to delete, and no process for it."""
    head = _section("head")
    return head if spec.secrets else head.replace(_DELETE_SECRETS, "delete_secrets() { :; }")


def _secrets(spec: JobSpec) -> list[str]:
    """Read the secrets; the file stays only if the scheduler itself may restart the script."""
    if not spec.secrets:
        return []
    read = '. "$clusterjobs_dir/secrets"'
    return [read] if spec.max_restarts else [read, "delete_secrets"]


def _home(spec: JobSpec, token: str) -> str:
    """The heartbeat file's folder: on the node if it is checked all the time, otherwise the job's folder."""
    if spec.heartbeat_timeout is None:
        return "clusterjobs_home=$clusterjobs_dir"
    return _section("home").replace("NONCE", nonce(token))


def _section(name: str) -> str:
    return section(Path(__file__).with_name("job.sh"), name)
