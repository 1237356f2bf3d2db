"""AWS's API: one session, its clients made once, their calls counted, their errors as one-line messages.

botocore retries calls that may be repeated, and slows down when it is throttled. SubmitJob may not be
repeated: it has no idempotency token, so a retry after a lost answer may make a duplicate. It is only retried
if the service does not accept the request at all (429).
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

from ..protocol import BackendError
from ..protocol import Throttled
from .errors import SiteTrouble
from .errors import translated
from .settings import AwsBatchSettings
from .settings import SUBMIT_THREADS

TRIES = 5
"""Calls in all, for one answer: about 8 s of pauses. The engine backs off after that, and a poll that takes a
minute would delay a cancel."""

SUBMIT_TRIES = 10

CONNECT_TIMEOUT, READ_TIMEOUT = 5, 30

LONGEST_PAUSE = 20.0


class Api:
    """The clients of one set of settings. Thread-safe."""

    def __init__(self, settings: AwsBatchSettings) -> None:
        self._settings = settings
        self._session: Any = None
        self._clients: dict[tuple[str, str, bool], Any] = {}
        self._lock = threading.Lock()
        self.calls: Counter[str] = Counter()
        """How often each operation was called; retries are not counted."""

    @property
    def region(self) -> str:
        """The region that is used if nothing else names one. Raises SiteTrouble."""
        return str(self._client("batch", "", retried=True).meta.region_name)

    @property
    def partition(self) -> str:
        """The partition of that region. Raises SiteTrouble."""
        return str(self._client("batch", "", retried=True).meta.partition)

    def region_of(self, arn: str) -> str:
        """The region that an ARN names, otherwise the default."""
        return (arn.split(":")[3:4] or [""])[0] or self.region

    def batch(self, operation: str, region: str = "", **arguments: Any) -> dict[str, Any]:
        """Call AWS Batch and return the answer. Raises BackendError, Throttled, SubmissionRejected."""
        return self._call("batch", operation, region, arguments)

    def logs(self, operation: str, region: str = "", **arguments: Any) -> dict[str, Any]:
        """Call CloudWatch Logs and return the answer.

        Raises NotThere if there is no such group or stream (yet), and the errors of ``batch``.
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
        """The id of a new job. Raises SubmissionRejected; BackendError if the answer is lost."""
        for attempt in range(SUBMIT_TRIES):
            try:
                answer = self._call("batch", "submit_job", "", dict(arguments), retried=False)
                return str(answer["jobId"])
            except Throttled:
                if attempt == SUBMIT_TRIES - 1:
                    raise
            time.sleep(random.uniform(0.1, 1.0) * min(2.0**attempt, LONGEST_PAUSE))
        raise AssertionError("not reached")

    def can(self, operation: str) -> bool:
        """Whether this boto3 knows an operation of AWS Batch. Raises SiteTrouble."""
        return hasattr(self._client("batch", "", retried=True), operation)

    def takes(self, operation: str) -> frozenset[str]:
        """The arguments that an operation of AWS Batch accepts, by its name in the API."""
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
        self.calls[operation] += 1
        name = client.meta.method_to_api_mapping.get(operation, operation)
        try:
            answer: dict[str, Any] = getattr(client, operation)(**arguments)
        except Exception as error:
            raise translated(error, name) from error
        return answer

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
                    raise found if isinstance(found, SiteTrouble) else SiteTrouble(str(found)) from error
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
            retries={"mode": "adaptive", "total_max_attempts": TRIES if retried else 1},
            max_pool_connections=2 * SUBMIT_THREADS,
            connect_timeout=CONNECT_TIMEOUT,
            read_timeout=READ_TIMEOUT,
            user_agent_extra="pytest-clusterjobs",
        )
        return self._session.client(service, region_name=region or None, config=config)
