"""Everything that is used of moto: its server application, its API, and the internals of its CloudWatch Logs.

moto does not guarantee that these stay. It is therefore pinned in pyproject.toml, and ``test_moto.py``
reports changes.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlencode

from moto.core.models import DEFAULT_ACCOUNT_ID as DEFAULT_ACCOUNT_ID
from moto.logs.models import logs_backends
from moto.moto_server.werkzeug_app import create_backend_app
from moto.moto_server.werkzeug_app import DomainDispatcherApplication
from werkzeug.test import EnvironBuilder
from werkzeug.test import run_wsgi_app

Application = Callable[[dict[str, Any], Any], Iterable[bytes]]

ACCOUNT_HEADER = "x-moto-account-id"
MOTO_API_PATH = "/moto-api/"
"""The path of moto's own API, which can reset all services."""


def application() -> Application:
    """The server of moto as a WSGI application."""
    made: Application = DomainDispatcherApplication(create_backend_app)
    return made


class MotoClient:
    """Calls moto's services as requests to its application, without a network."""

    def __init__(self, app: Application) -> None:
        self._app = app

    def call(
        self, account: str, region: str, service: str, path: str, body: dict[str, Any], target: str = ""
    ) -> dict[str, Any]:
        """The response of a JSON service. Raises LookupError with the service's message."""
        headers = {"Content-Type": "application/x-amz-json-1.1", ACCOUNT_HEADER: account}
        if target:
            headers["X-Amz-Target"] = target
        found: dict[str, Any] = json.loads(
            self._post(region, service, path, json.dumps(body), headers) or "{}"
        )
        return found

    def create_role(self, account: str, region: str, name: str) -> None:
        """Create a role. Raises LookupError with the service's message."""
        form = {"Action": "CreateRole", "Version": "2010-05-08", "RoleName": name}
        form["AssumeRolePolicyDocument"] = '{"Version": "2012-10-17", "Statement": []}'
        headers = {"Content-Type": "application/x-www-form-urlencoded", ACCOUNT_HEADER: account}
        self._post(region, "iam", "/", urlencode(form), headers)

    def _post(self, region: str, service: str, path: str, data: str, headers: dict[str, str]) -> str:
        scope = f"Credential=local/20200101/{region}/{service}/aws4_request"
        signed = {**headers, "Authorization": f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature=0"}
        builder = EnvironBuilder(path=path, method="POST", data=data, headers=list(signed.items()))
        try:
            answer, status, _ = run_wsgi_app(self._app, builder.get_environ(), buffered=True)
        finally:
            builder.close()
        text = b"".join(answer).decode()
        if not status.startswith("2"):
            raise LookupError(_message(text))
        return text


def _message(text: str) -> str:
    try:
        answer = json.loads(text)
        return str(answer.get("message") or answer.get("Message") or text)
    except ValueError:
        return text


class Logs:
    """Writes to CloudWatch Logs directly, because requests would take longer than the jobs."""

    def __init__(self) -> None:
        self._lock = threading.Lock()

    def open(self, account: str, region: str, group: str, stream: str) -> None:
        """Create a stream, and its group if there is none."""
        backend = logs_backends[account][region]
        with self._lock:
            backend.ensure_log_group(group)
            if stream not in backend.groups[group].streams:
                backend.create_log_stream(group, stream)

    def put(
        self, account: str, region: str, group: str, stream: str, events: Sequence[tuple[int, str]]
    ) -> None:
        """Append (milliseconds, message) to a stream."""
        made = [{"timestamp": at, "message": message} for at, message in events]
        backend = logs_backends[account][region]
        with self._lock:
            # If a user has deleted the stream, the output is lost.
            if group in backend.groups and stream in backend.groups[group].streams:
                backend.put_log_events(group, stream, made)


def place_of(token: str) -> int:
    """The index of the event in a token of GetLogEvents."""
    return int(token[2:])


def token_of(direction: str, place: int) -> str:
    """A token of GetLogEvents; ``direction`` is ``f`` or ``b``."""
    return f"{direction}/{place:056d}"
