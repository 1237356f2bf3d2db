"""A client of a running local AWS Batch, in any process."""

from __future__ import annotations

import http.client
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..supervisor import ClusterError

ADDRESS = "127.0.0.1"
REQUEST_TIMEOUT_SECONDS = 60.0
DEFINITION, PARALLEL_DEFINITION = "local", "local-parallel"
PROXIES = ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY")
CONFLICTING_VARIABLES = ("AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_SESSION_TOKEN")
"""Variables that must not be set together with ``environment``."""


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """How to reach a server, as it has written it into its folder."""

    port: int
    key: str
    region: str
    queue: str

    @classmethod
    def read(cls, folder: Path) -> ServerInfo:
        """The server that runs in ``folder``. Raises OSError if it is not ready."""
        return cls(**json.loads((folder / BatchClient.ready_file).read_text(encoding="utf-8")))


class BatchClient:
    """A running local AWS Batch: its address and credentials, its queues, and the faults that it simulates.

    ``BatchClient.at(folder)`` connects to the server that runs in ``folder``. All methods raise ClusterError
    if the server does not answer.
    """

    ready_file = "server.json"
    """Contains the server's :class:`ServerInfo`."""

    def __init__(self, folder: Path, info: ServerInfo) -> None:
        self.folder = folder
        self._info = info

    @staticmethod
    def at(folder: Path) -> BatchClient:
        """Return a client of the server that runs in ``folder``. Raises ClusterError if there is none."""
        try:
            return BatchClient(folder, ServerInfo.read(folder))
        except (OSError, ValueError, TypeError) as error:
            raise ClusterError(f"no local AWS Batch runs in {folder}") from error

    @property
    def url(self) -> str:
        """The URL of the server, for both AWS Batch and CloudWatch Logs."""
        return f"http://{ADDRESS}:{self._info.port}"

    @property
    def region(self) -> str:
        """The region of its queue; other regions exist, and are empty."""
        return self._info.region

    @property
    def queue(self) -> str:
        """The name of the queue that exists from the start."""
        return self._info.queue

    @property
    def definition(self) -> str:
        """The name of a job definition for jobs of one node; submissions override its command."""
        return DEFINITION

    @property
    def parallel_definition(self) -> str:
        """The name of a job definition for several nodes, all in one node range (``0:``)."""
        return PARALLEL_DEFINITION

    @property
    def environment(self) -> dict[str, str]:
        """The variables that a process needs to use the server.

        They replace all of the user's own AWS settings.
        """
        return self.environment_of("")

    def environment_of(self, caller: str) -> dict[str, str]:
        """The variables for one of several callers, such as ``gw0``.

        Faults can be limited to its access key.
        """
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
        return self._info.key + caller.upper()

    def create_queue(self, name: str, **rules: Any) -> str:
        """Create or change a queue, and return its name.

        ``rules`` decide how it behaves; times are in seconds.

        - ``stuck="CAPACITY:..."``: jobs stay RUNNABLE with this reason; ``None`` releases them.
        - ``give_up``: cancel stuck jobs after this time.
        - ``time_scale=0.01``: a job's timeout of 60 s lasts 0.6 s.
        - ``stop_grace``: the time from SIGTERM to SIGKILL.
        - ``step``: the time in each state before RUNNING.
        - ``log_delay``: the time until logs become readable.
        - ``lag``: the age of responses.
        """
        self._control("queue", name=name, **rules)
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
        """Define an image, and return its name. All other images are this machine, without an entrypoint.

        ``entrypoint`` precedes the command, which starts in ``workdir``. With ``fails`` its containers do not
        start, with this reason and exit code ``code``. Images of a host that ends in ``.invalid`` cannot be
        pulled.
        """
        given = {} if workdir is None else {"workdir": str(workdir)}
        self._control("image", name=name, entrypoint=list(entrypoint), fails=fails, code=code, **given)
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
        """Make the next ``times`` calls of an operation, such as ``DescribeJobs``, fail.

        ``*`` is any operation.

        Status 0 drops the connection. With ``after`` the operation is carried out, and only its response is
        lost. With ``caller`` only calls of this caller fail (see ``environment_of``). With ``about`` only
        calls fail whose request contains this text, such as the name of a log stream or group.
        """
        given: dict[str, Any] = {"operation": operation, "status": status, "times": times, "after": after}
        optional = {"code": code, "message": message, "key": self._key(caller), "about": about}
        given |= {name: value for name, value in optional.items() if value is not None}
        self._control("fault", **given)

    def deny(self, operation: str, *, caller: str | None = None, about: str = "") -> None:
        """Reject all calls of an operation, as IAM does; ``caller`` and ``about`` as for ``inject_fault``."""
        message = f"User: arn:aws:iam::123456789012:user/local is not authorized to perform: {operation}"
        self.inject_fault(
            operation,
            status=400,
            times=1 << 30,
            code="AccessDeniedException",
            message=message,
            caller=caller,
            about=about,
        )

    def limit(self, operation: str, per_second: float | None, *, caller: str | None = None) -> None:
        """Answer calls of an operation above a rate with 429; ``None`` lifts the limit."""
        self._control("limit", operation=operation, per_second=per_second, key=self._key(caller))

    def clear_faults(self, *, caller: str | None = None) -> None:
        """Remove the faults and limits of one caller, or all of them."""
        self._control("clear", key=self._key(caller))

    def calls(self, *, caller: str | None = None) -> dict[str, dict[str, int]]:
        """The number of ``calls`` of each operation (in lower case), and of ``throttled`` ones."""
        found: dict[str, dict[str, int]] = self._control("calls", key=self._key(caller))
        return found

    def page_logs(self, most: int = 10_000, *, empty: bool = False, caller: str = "") -> None:
        """Limit the pages of GetLogEvents to ``most`` events; with ``empty`` an empty page precedes each."""
        self._control("pages", key=self.access_key(caller), most=most, empty=empty)

    def reclaim(self, job_id: str, *, fargate: bool = False, code: int | None = None) -> None:
        """Take the machine of a running job or node (``id#N``) away, as happens to spot instances.

        ``fargate`` uses Fargate's message. ``code`` is the exit code that is reported all the same.
        """
        self._control("reclaim", job_id=job_id, fargate=fargate, code=code)

    def _key(self, caller: str | None) -> str | None:
        return None if caller is None else self.access_key(caller)

    def _control(self, control: str, /, **request: Any) -> Any:
        """Send a control request to the server, and return its response. Raises ClusterError."""
        connection = http.client.HTTPConnection(ADDRESS, self._info.port, timeout=REQUEST_TIMEOUT_SECONDS)
        scope = f"Credential={self._info.key}/20200101/{self.region}/local/aws4_request"
        try:
            headers = {"Authorization": f"AWS4-HMAC-SHA256 {scope}"}
            connection.request("POST", f"/_local/{control}", json.dumps(request), headers)
            answer = connection.getresponse()
            body = json.loads(answer.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ClusterError(f"the local AWS Batch at {self.url} does not answer: {error}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise ClusterError(str(body.get("message")))
        return body
