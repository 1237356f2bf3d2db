"""The server's application: checks the caller, answers requests about jobs, and passes all others to moto."""

from __future__ import annotations

import hmac
import io
import json
import re
import socket
import traceback
import uuid
from collections.abc import Callable
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs
from urllib.parse import unquote

from .control import Controls
from .errors import BadRequest
from .faults import DROP
from .faults import Fault
from .faults import Faults
from .model import Json
from .moto_internals import ACCOUNT_HEADER
from .moto_internals import Application
from .moto_internals import DEFAULT_ACCOUNT_ID
from .moto_internals import MOTO_API_PATH
from .pages import Pages
from .queues import Queues
from .service import Service

CREDENTIAL = re.compile(r"Credential=([^/]+)/[^/]*/([^/]+)/([^/]+)/aws4_request")
CONTROL_PATH = "/_local/"
REASONS = {200: "200 OK", 400: "400 Bad Request", 403: "403 Forbidden", 429: "429 Too Many Requests"}
Respond = Callable[[str, list[tuple[str, str]]], Any]


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller of a request, and the service that it calls."""

    key: str
    region: str
    service: str
    account: str


class Gateway:
    """The application that the server serves."""

    def __init__(
        self,
        key: str,
        moto: Application,
        services: Callable[[str, str], Service],
        queues: Queues,
        faults: Faults,
        pages: Pages,
        controls: Controls,
    ) -> None:
        """Accept only access keys that begin with ``key``: jobs run as this user."""
        self._key = key
        self._moto = moto
        self._services = services
        self._queues = queues
        self._faults = faults
        self._pages = pages
        self._controls = controls

    def __call__(self, environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        """Answer a request."""
        caller = _caller(environ)
        if not hmac.compare_digest(caller.key[: len(self._key)].encode(), self._key.encode()):
            return _error(respond, 403, "UnrecognizedClientException", "The security token is invalid.")
        path = environ["PATH_INFO"]
        if path.startswith(MOTO_API_PATH):
            return _error(
                respond, 403, "AccessDeniedException", "moto cannot be reset while jobs may be running."
            )
        if path.startswith(CONTROL_PATH):
            return self._control(path.removeprefix(CONTROL_PATH), environ, respond)
        operation = _operation(caller, environ)
        fault = self._fault(caller, operation, environ) if caller.service in ("batch", "logs") else None
        if fault is not None and not fault.after:
            return _fail(fault, environ, respond)
        if fault is not None:
            # The operation is carried out, and its response is lost.
            for _ in self._answer(caller, operation, environ, lambda *_: None):
                pass
            return _fail(fault, environ, respond)
        return self._answer(caller, operation, environ, respond)

    def _fault(self, caller: Caller, operation: str, environ: dict[str, Any]) -> Fault | None:
        body = _body(environ)
        # The body is read again for the response.
        environ["wsgi.input"] = io.BytesIO(body)
        return self._faults.next(operation, caller.key, body.decode(errors="replace"))

    def _answer(
        self, caller: Caller, operation: str, environ: dict[str, Any], respond: Respond
    ) -> Iterable[bytes]:
        if caller.service == "batch":
            service = self._services(caller.account, caller.region)
            if call := service.operation(operation):
                body = _body(environ)
                return _respond(lambda: call(json.loads(body or b"{}"), len(body)), respond)
            if tagged := _tagged(service, environ["PATH_INFO"]):
                return _respond(lambda: _tag(tagged, environ), respond)
            if "jobqueue" in operation and not operation.startswith("describe"):
                self._queues.clear_cache()
        if operation == "getlogevents":
            status, page = self._pages.answer(caller.key, environ, _body(environ))
            return _send(respond, int(status[:3]), page)
        return self._moto(environ, respond)

    def _control(self, name: str, environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
        return _respond(lambda: self._controls.call(name, json.loads(_body(environ) or b"{}")), respond)


def _caller(environ: dict[str, Any]) -> Caller:
    match = CREDENTIAL.search(environ.get("HTTP_AUTHORIZATION", ""))
    key, region, service = match.groups() if match else ("", "", "")
    header = f"HTTP_{ACCOUNT_HEADER.upper().replace('-', '_')}"
    return Caller(key, region, service, environ.get(header, DEFAULT_ACCOUNT_ID))


def _operation(caller: Caller, environ: dict[str, Any]) -> str:
    """The operation's name in lower case."""
    if caller.service == "batch":
        return str(environ["PATH_INFO"]).removeprefix("/v1/").split("/")[0].lower()
    return str(environ.get("HTTP_X_AMZ_TARGET", "")).rsplit(".", 1)[-1].lower()


def _body(environ: dict[str, Any]) -> bytes:
    read: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    return read


def _respond(call: Callable[[], Json], respond: Respond) -> Iterable[bytes]:
    try:
        return _send(respond, 200, call())
    except BadRequest as error:
        return _error(respond, error.status, error.code, str(error))
    except Exception:
        traceback.print_exc()
        return _error(
            respond, 500, "ServerException", "The local AWS Batch has a bug; its log has the traceback."
        )


def _send(respond: Respond, status: int, body: Json, code: str | None = None) -> Iterable[bytes]:
    data = json.dumps(body).encode()
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(data))),
        ("x-amzn-RequestId", str(uuid.uuid4())),
    ]
    if code is not None:
        headers.append(("x-amzn-ErrorType", code))
    respond(REASONS.get(status, f"{status} Error"), headers)
    return [data]


def _error(respond: Respond, status: int, code: str, message: str) -> Iterable[bytes]:
    # CloudWatch Logs has the error code in the body, Batch in a header; each ignores the other.
    return _send(respond, status, {"message": message, "__type": code}, code)


def _fail(fault: Fault, environ: dict[str, Any], respond: Respond) -> Iterable[bytes]:
    if fault.status == DROP:
        environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
    return _error(respond, fault.status or 500, fault.code, fault.message)


def _tagged(service: Service, path: str) -> dict[str, str] | None:
    """The tags of the job or definition that a path names, if there is one."""
    match = re.fullmatch(r"/v1/tags/(arn:.*:(?:job|job-definition)/.*)", unquote(path))
    return service.tags(match[1]) if match else None


def _tag(tags: dict[str, str], environ: dict[str, Any]) -> Json:
    method = environ["REQUEST_METHOD"]
    if method == "GET":
        return {"tags": tags}
    if method == "POST":
        tags.update(json.loads(_body(environ))["tags"])
    for key in parse_qs(environ.get("QUERY_STRING", "")).get("tagKeys", ()):
        tags.pop(key, None)
    return {}
