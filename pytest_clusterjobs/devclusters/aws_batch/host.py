"""Turns a node of a job into a container: its command, environment, folder, secrets and log."""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path

from . import texts
from .logs import EmulatedLogStream
from .model import ContainerAttempt
from .model import EmulatedJob
from .model import EmulatedNode
from .model import Image
from .model import Json
from .model import now
from .moto_internals import Logs
from .runtime import Exit
from .runtime import Runtime
from .secrets import EmulatedSecrets
from .secrets import NoSecret
from .timers import Timers

GROUP = "/aws/batch/job"
MIB = 1 << 20
UNREACHABLE_DOMAIN = ".invalid"
"""A top-level domain that never exists (RFC 2606), so images cannot be pulled from it."""


class Host:
    """The machine that all containers share."""

    def __init__(
        self, folder: Path, runtime: Runtime, timers: Timers, logs: Logs, secrets: EmulatedSecrets
    ) -> None:
        self._folder = folder
        self._runtime = runtime
        self._timers = timers
        self._logs = logs
        self._secrets = secrets

    def new_attempt(self, job: EmulatedJob) -> ContainerAttempt:
        """An attempt that has not started yet."""
        task = uuid.uuid4().hex
        arn = f"arn:aws:ecs:{job.region}:{job.account}:task/local/{task}"
        return ContainerAttempt(task_arn=arn)

    def start(
        self,
        job: EmulatedJob,
        node: EmulatedNode,
        attempt: ContainerAttempt,
        image: Image,
        log_delay: float,
        on_end: Callable[[Exit], None],
    ) -> int | None:
        """Start a container and return its number.

        If that fails, return ``None``; the attempt has the reason.
        """
        name = node.spec.get("image", "")
        if image.fails is not None or name.split("/")[0].endswith(UNREACHABLE_DOMAIN):
            attempt.reason = (image.fails or texts.PULL_FAILED.format(image=name))[:255]
            attempt.exit_code = image.code
            return None
        try:
            env = self._environment(job, node)
        except NoSecret as error:
            attempt.reason = texts.SECRET_FAILED.format(why=error)[:255]
            return None
        argv = [*image.entrypoint, *node.spec.get("command", ())]
        if (reason := _not_executable(argv, env["PATH"])) is not None:
            attempt.reason = texts.START_FAILED.format(program=argv[0] if argv else "", why=reason)[:255]
            attempt.exit_code = 127
            return None
        return self._run(job, node, attempt, argv, env, image.workdir, log_delay, on_end)

    def _run(
        self,
        job: EmulatedJob,
        node: EmulatedNode,
        attempt: ContainerAttempt,
        argv: list[str],
        env: dict[str, str],
        workdir: str | None,
        log_delay: float,
        on_end: Callable[[Exit], None],
    ) -> int:
        folder = self._folder / attempt.task_arn.rsplit("/", 1)[1]
        (folder / "tmp").mkdir(parents=True, mode=0o700)
        env |= {"HOME": str(folder), "TMPDIR": str(folder / "tmp")}
        attempt.started = now()
        stream = self._stream(job, node, attempt, log_delay)

        def ended(exit: Exit) -> None:
            if stream is not None:
                stream.close()
            shutil.rmtree(folder, ignore_errors=True)
            on_end(exit)

        def write(data: bytes) -> None:
            if stream is not None:
                stream.write(data)

        return self._runtime.run(argv, env, workdir or str(folder), memory(node.spec), write, ended)

    def signal(self, container: int, number: int) -> None:
        """Send a signal to a container."""
        self._runtime.signal(container, number)

    def _environment(self, job: EmulatedJob, node: EmulatedNode) -> dict[str, str]:
        given = {each["name"]: each.get("value", "") for each in node.spec.get("environment", ())}
        secret = {
            each["name"]: self._secrets.value(job.account, job.region, each["valueFrom"])
            for each in node.spec.get("secrets", ())
        }
        # A job must not find the credentials of this machine, which may be on EC2.
        own = {"PATH": os.environ.get("PATH", os.defpath), "AWS_EC2_METADATA_DISABLED": "true"}
        return {**own, **given, **secret, **batch_variables(job, node)}

    def _stream(
        self, job: EmulatedJob, node: EmulatedNode, attempt: ContainerAttempt, delay: float
    ) -> EmulatedLogStream | None:
        configuration = node.spec.get("logConfiguration", {})
        if configuration.get("logDriver", "awslogs") != "awslogs":
            return None
        options = configuration.get("options", {})
        prefix = options.get("awslogs-stream-prefix", job.definition.name)
        attempt.stream = f"{prefix}/default/{attempt.task_arn.rsplit('/', 1)[1]}"
        region = options.get("awslogs-region", job.region)
        stream = (job.account, region, options.get("awslogs-group", GROUP), attempt.stream)
        return EmulatedLogStream(self._logs, self._timers, stream, delay)


def batch_variables(job: EmulatedJob, node: EmulatedNode) -> dict[str, str]:
    """The variables that AWS Batch adds to a container's environment."""
    found = {
        "AWS_BATCH_JOB_ID": f"{job.id}#{node.index}" if job.is_parallel else job.id,
        "AWS_BATCH_JOB_ATTEMPT": str(max(1, len(job.main_node.attempts))),
        "AWS_BATCH_JQ_NAME": job.queue,
        "AWS_BATCH_CE_NAME": "local",
    }
    if job.parent is not None:
        found["AWS_BATCH_JOB_ARRAY_INDEX"] = str(job.index)
        found["AWS_BATCH_JOB_ARRAY_SIZE"] = str(len(job.parent.children))
    if job.is_parallel:
        found["AWS_BATCH_JOB_NODE_INDEX"] = str(node.index)
        found["AWS_BATCH_JOB_NUM_NODES"] = str(len(job.nodes))
        found["AWS_BATCH_JOB_MAIN_NODE_INDEX"] = str(job.main)
        if node.index != job.main:
            found["AWS_BATCH_JOB_MAIN_NODE_PRIVATE_IPV4_ADDRESS"] = "127.0.0.1"
    return found


def memory(spec: Json) -> int | None:
    """The memory limit of a container in bytes; ``None`` without a limit."""
    wanted = [each["value"] for each in spec.get("resourceRequirements", ()) if each["type"] == "MEMORY"]
    return int(float(wanted[0]) * MIB) if wanted else None


def _not_executable(argv: list[str], path: str) -> str | None:
    """The reason why a command cannot be started, in runc's wording; ``None`` if it can."""
    if not argv:
        return "no command specified"
    if shutil.which(argv[0], path=path) is not None:
        return None
    if "/" not in argv[0]:
        return "executable file not found in $PATH"
    exists = os.path.exists(argv[0])
    return f"stat {argv[0]}: {'permission denied' if exists else 'no such file or directory'}"
