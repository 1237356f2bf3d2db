"""AWS's API: one session, clients that are created once, errors as one-line messages.

botocore retries calls that may be repeated, and slows down when it is throttled. SubmitJob may not be
repeated: it has no idempotency token, so a retry after a lost response may create a duplicate. It is only
retried if the service does not accept the request at all (429).
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from ..protocol import BackendError
from ..protocol import Throttled
from .errors import AccountError
from .errors import translated
from .settings import AwsBatchSettings
from .settings import SUBMIT_THREADS

MAX_CALL_ATTEMPTS = 5
"""Attempts of botocore for one call, with about 8 s of pauses. The engine backs off after that, and a poll
that takes a minute would delay a cancel."""

MAX_SUBMIT_ATTEMPTS = 10
"""Attempts to submit one job while the service answers 429."""

MAX_BACKOFF_SECONDS = 20.0
"""The longest pause between two of them."""

CONNECT_TIMEOUT_SECONDS = 5
READ_TIMEOUT_SECONDS = 30


class Api:
    """The clients of one set of settings. Thread-safe."""

    def __init__(self, settings: AwsBatchSettings) -> None:
        self._settings = settings
        self._session: Any = None
        self._clients: dict[tuple[str, str, bool], Any] = {}
        self._lock = threading.Lock()

    @property
    def region(self) -> str:
        """The default region. Raises AccountError."""
        return str(self._client("batch", "", retried=True).meta.region_name)

    @property
    def partition(self) -> str:
        """The partition of that region. Raises AccountError."""
        return str(self._client("batch", "", retried=True).meta.partition)

    def region_of(self, arn: str) -> str:
        """The region that an ARN names, otherwise the default."""
        return (arn.split(":")[3:4] or [""])[0] or self.region

    def batch(self, operation: str, region: str = "", **arguments: Any) -> dict[str, Any]:
        """Call AWS Batch and return the response. Raises BackendError, Throttled, SubmissionRejected."""
        return self._call("batch", operation, region, arguments)

    def logs(self, operation: str, region: str = "", **arguments: Any) -> dict[str, Any]:
        """Call CloudWatch Logs and return the response.

        Raises LogStreamNotFound if there is no such group or stream (yet), and the errors of ``batch``.
        """
        return self._call("logs", operation, region, arguments)

    def pages(
        self, operation: str, key: str, region: str = "", **arguments: Any
    ) -> Iterator[Mapping[str, Any]]:
        """The items of all pages of a list. Raises as ``batch``."""
        while True:
            page = self.batch(operation, region, **arguments)
            yield from page.get(key, ())
            if not page.get("nextToken"):
                return
            arguments["nextToken"] = page["nextToken"]

    def submit(self, arguments: Mapping[str, Any]) -> str:
        """Submit a job and return its id. Raises SubmissionRejected; BackendError if the response is lost."""
        for attempt in range(MAX_SUBMIT_ATTEMPTS):
            try:
                response = self._call("batch", "submit_job", "", dict(arguments), retried=False)
                return str(response["jobId"])
            except Throttled:
                if attempt == MAX_SUBMIT_ATTEMPTS - 1:
                    raise
            time.sleep(random.uniform(0.1, 1.0) * min(2.0**attempt, MAX_BACKOFF_SECONDS))
        raise AssertionError("not reached")

    def has_operation(self, operation: str) -> bool:
        """Whether this boto3 knows an operation of AWS Batch. Raises AccountError."""
        return hasattr(self._client("batch", "", retried=True), operation)

    def parameters_of(self, operation: str) -> frozenset[str]:
        """The names of an operation's parameters; the operation has its name in the API."""
        model = self._client("batch", "", retried=True).meta.service_model
        return frozenset(model.operation_model(operation).input_shape.members)

    def close(self) -> None:
        """Close all connections."""
        with self._lock:
            clients, self._clients = self._clients, {}
        for client in clients.values():
            client.close()

    def _call(
        self, service: str, operation: str, region: str, arguments: dict[str, Any], *, retried: bool = True
    ) -> dict[str, Any]:
        client = self._client(service, region, retried=retried)
        name = client.meta.method_to_api_mapping.get(operation, operation)
        try:
            response: dict[str, Any] = getattr(client, operation)(**arguments)
        except Exception as error:
            raise translated(error, name) from error
        return response

    def _client(self, service: str, region: str, *, retried: bool) -> Any:
        key = (service, region, retried)
        with self._lock:
            # Sessions are not thread-safe; clients are.
            if key not in self._clients:
                try:
                    self._clients[key] = self._new_client(service, region, retried)
                except BackendError:
                    raise
                except Exception as error:
                    found = translated(error, f"the client of {service}")
                    raise found if isinstance(found, AccountError) else AccountError(str(found)) from error
            return self._clients[key]

    def _new_client(self, service: str, region: str, retried: bool) -> Any:
        import boto3
        from botocore.config import Config

        settings = self._settings
        if self._session is None:
            self._session = boto3.session.Session(
                profile_name=settings.profile or None, region_name=settings.region or None
            )
        config = Config(
            retries={"mode": "adaptive", "total_max_attempts": MAX_CALL_ATTEMPTS if retried else 1},
            max_pool_connections=2 * SUBMIT_THREADS,
            connect_timeout=CONNECT_TIMEOUT_SECONDS,
            read_timeout=READ_TIMEOUT_SECONDS,
            user_agent_extra="pytest-clusterjobs",
        )
        return self._session.client(service, region_name=region or None, config=config)
