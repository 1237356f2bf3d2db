"""What everybody may do with a local AWS Batch that runs."""

from __future__ import annotations

import http.client
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..supervisor import ClusterError

READY = "server.json"
"""What the server writes into its folder once everything is there."""

ADDRESS = "127.0.0.1"
PATIENCE = 60.0
DEFINITION, PARALLEL_DEFINITION = "local", "local-parallel"
PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
IN_THE_WAY = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN")
"""Variables that must not be set beside ``environment``."""


@dataclass(frozen=True, slots=True)
class Facts:
    """Where the server is, and what it has."""

    port: int
    key: str
    region: str
    queue: str

    @classmethod
    def read(cls, folder: Path) -> Facts:
        """What the server wrote down when it was ready. Raises OSError."""
        return cls(**json.loads((folder / READY).read_text(encoding="utf-8")))


class BatchClient:
    """A local AWS Batch, as those see it who use it."""

    def __init__(self, folder: Path, facts: Facts) -> None:
        self.folder = folder
        self._facts = facts

    @classmethod
    def at(cls, folder: Path) -> BatchClient:
        """The one that runs in a folder, perhaps another process's. Raises ClusterError if there is none."""
        try:
            return BatchClient(folder, Facts.read(folder))
        except (OSError, ValueError, TypeError) as error:
            raise ClusterError(f"no local AWS Batch runs in {folder}") from error

    @property
    def url(self) -> str:
        """Where it is reached."""
        return f"http://{ADDRESS}:{self._facts.port}"

    @property
    def region(self) -> str:
        """The region that its queue is in; others are there, but empty."""
        return self._facts.region

    @property
    def queue(self) -> str:
        """The name of its first queue."""
        return self._facts.queue

    @property
    def definition(self) -> str:
        """A job definition for jobs of one node, whose command every submission replaces."""
        return DEFINITION

    @property
    def parallel_definition(self) -> str:
        """The same for jobs of any number of nodes, all of one range (``0:``)."""
        return PARALLEL_DEFINITION

    @property
    def environment(self) -> dict[str, str]:
        """What to add to the environment of whoever uses it; nothing of the person's own AWS is left then."""
        return self.environment_of("")

    def environment_of(self, caller: str) -> dict[str, str]:
        """The same for one of several callers, such as ``gw0``: faults may be meant for its access key alone."""
        found = {
            "AWS_ACCESS_KEY_ID": self.access_key(caller),
            "AWS_SECRET_ACCESS_KEY": "local",
            "AWS_DEFAULT_REGION": self.region,
            "AWS_REGION": self.region,
            "AWS_CONFIG_FILE": os.devnull,
            "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS": "false",
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ENDPOINT_URL_BATCH": self.url,
            "AWS_ENDPOINT_URL_CLOUDWATCH_LOGS": self.url,
        }
        if any(name in os.environ for name in PROXIES):
            found["NO_PROXY"] = found["no_proxy"] = ",".join(
                filter(None, (os.environ.get("NO_PROXY") or os.environ.get("no_proxy"), ADDRESS))
            )
        return found

    def access_key(self, caller: str = "") -> str:
        """The access key of one of several callers."""
        return self._facts.key + caller.upper()

    def create_queue(self, name: str, **rules: Any) -> str:
        """Make a queue, or change one, and say how it behaves: its name.

        ``rules`` are those of ``Rules``: ``stuck="CAPACITY:..."`` keeps its jobs RUNNABLE with that reason (``None``
        lets them go), ``give_up`` cancels those after so many seconds, ``time_scale=0.01`` makes a timeout of 60
        last 0.6 s, ``stop_grace`` are the seconds from SIGTERM to SIGKILL, ``step`` those in each state before
        RUNNING, ``log_delay`` those until logs can be read, and ``lag`` those that answers are behind.
        """
        self._order("queue", name=name, **rules)
        return name

    def add_image(
        self,
        name: str,
        *,
        entrypoint: tuple[str, ...] = (),
        workdir: Path | None = None,
        fails: str | None = None,
        code: int | None = None,
    ) -> str:
        """Say what an image does, all others being this machine with no entrypoint: its name.

        ``entrypoint`` is put before the command, which begins in ``workdir``. With ``fails`` its containers do not start,
        for that reason and with exit code ``code``. Images of a host that ends in ``.invalid`` cannot be pulled.
        """
        where = {} if workdir is None else {"workdir": str(workdir)}
        self._order("image", name=name, entrypoint=list(entrypoint), fails=fails, code=code, **where)
        return name

    def inject_fault(
        self,
        operation: str,
        *,
        status: int = 429,
        times: int = 1,
        code: str | None = None,
        message: str | None = None,
        caller: str | None = None,
        about: str = "",
        after: bool = False,
    ) -> None:
        """Let the next ``times`` calls of an operation, such as ``DescribeJobs``, fail; ``*`` means all of them.

        Status 0 drops the connection. With ``after`` the operation is carried out, and only its answer is lost. With
        ``caller`` it happens to that one alone (see ``environment_of``), with ``about`` only to calls that have that text
        in what they ask, such as the name of a log stream or group.
        """
        given: dict[str, Any] = {"operation": operation, "status": status, "times": times, "after": after}
        told = {"code": code, "message": message, "key": self._key(caller), "about": about}
        self._order("fault", **given, **{name: value for name, value in told.items() if value is not None})

    def deny(self, operation: str, *, caller: str | None = None, about: str = "") -> None:
        """Refuse an operation to whoever asks, as IAM does; ``caller`` and ``about`` as for ``inject_fault``."""
        why = f"User: arn:aws:iam::123456789012:user/local is not authorized to perform: {operation}"
        self.inject_fault(
            operation,
            status=400,
            times=1 << 30,
            code="AccessDeniedException",
            message=why,
            caller=caller,
            about=about,
        )

    def limit(self, operation: str, per_second: float | None, *, caller: str | None = None) -> None:
        """Answer 429 to calls of an operation above a rate; ``None`` lifts the limit."""
        self._order("limit", operation=operation, per_second=per_second, key=self._key(caller))

    def clear_faults(self, *, caller: str | None = None) -> None:
        """Let no fault happen and no limit hold any more: those meant for one caller, or all."""
        self._order("clear", key=self._key(caller))

    def calls(self, *, caller: str | None = None) -> dict[str, dict[str, int]]:
        """How many ``calls`` of each operation (in lower case) came since the start, and how many were ``throttled``."""
        found: dict[str, dict[str, int]] = self._order("calls", key=self._key(caller))
        return found

    def page_logs(self, most: int = 10_000, *, empty: bool = False, caller: str = "") -> None:
        """Let a page of GetLogEvents hold so many events at most; with ``empty`` an empty page precedes each."""
        self._order("pages", key=self.access_key(caller), most=most, empty=empty)

    def reclaim(self, job_id: str, *, fargate: bool = False, code: int | None = None) -> None:
        """Take the machine away from a running job or node (``id#N``), as happens to spot instances.

        With ``fargate`` in Fargate's words. ``code`` is the exit code that is seen all the same.
        """
        self._order("reclaim", job_id=job_id, fargate=fargate, code=code)

    def _key(self, caller: str | None) -> str | None:
        return None if caller is None else self.access_key(caller)

    def _order(self, order: str, /, **request: Any) -> Any:
        """Have the server do something. Raises ClusterError."""
        connection = http.client.HTTPConnection(ADDRESS, self._facts.port, timeout=PATIENCE)
        scope = f"Credential={self._facts.key}/20200101/{self.region}/local/aws4_request"
        try:
            headers = {"Authorization": f"AWS4-HMAC-SHA256 {scope}"}
            connection.request("POST", f"/_local/{order}", json.dumps(request), headers)
            answer = connection.getresponse()
            body = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ClusterError(f"the local AWS Batch at {self.url} does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise ClusterError(str(body.get("message")))
        return body
