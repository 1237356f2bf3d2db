"""Recordings of a real SkyPilot API server: a proxy that records, and a server that replays.

A recording is a list of exchanges. The responses to calls of one kind are replayed in their order, and the
last
one repeatedly. Results are found by the id of their request.
"""

from __future__ import annotations

import base64
import http.client
import json
import pickle
import threading
import warnings
from collections.abc import Iterator
from collections.abc import Mapping
from contextlib import contextmanager
from dataclasses import asdict
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs
from urllib.parse import urlsplit

import pytest

NOTHING = "gAROLg=="
"""A pickled ``None``, which replaces the request and its environment in a response."""

RESULT = "/api/get"
REPEATED = ("/api/status", "/jobs/queue/v2", "/queue", "/status")
"""Calls that are repeated while polling."""


@dataclass(frozen=True)
class Exchange:
    """A call and its response."""

    method: str
    path: str
    asked: str
    """What distinguishes the call from others of its kind: the id of a request or job, or a cluster."""
    status: int
    headers: Mapping[str, str]
    answer: str

    @property
    def key(self) -> tuple[str, str, str]:
        """Calls with the same key have the same responses."""
        return self.method, self.path, self.asked


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        exchange = self.server.exchange(method, self.path, body, self.headers)  # type: ignore[attr-defined]
        self.send_response(exchange.status)
        for name, value in exchange.headers.items():
            self.send_header(name, value)
        answer = exchange.answer.encode()
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def exchange(self, method: str, path: str, body: bytes, headers: Any) -> Exchange:
        raise NotImplementedError

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Print nothing about a client that did not wait for its response."""


class Recorder(_Server):
    """A proxy that records all exchanges."""

    def __init__(self, upstream: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._upstream = urlsplit(upstream)
        self.kept: list[Exchange] = []

    def exchange(self, method: str, path: str, body: bytes, headers: Any) -> Exchange:
        assert self._upstream.hostname is not None
        connection = http.client.HTTPConnection(self._upstream.hostname, self._upstream.port, timeout=300)
        sent = {
            name: value for name, value in headers.items() if name.lower() not in ("host", "accept-encoding")
        }
        connection.request(method, path, body or None, sent)
        response = connection.getresponse()
        answer = response.read().decode()
        found = {
            name: value
            for name, value in response.getheaders()
            if name.lower().startswith("x-skypilot") or name.lower() == "content-type"
        }
        exchange = Exchange(method, urlsplit(path).path, _asked(path, body), response.status, found, answer)
        self.kept.append(exchange)
        connection.close()
        return exchange

    def save(self, path: Path, replacements: Mapping[str, str]) -> None:
        """Write the exchanges that differ from the one before, without data of this machine."""
        text = json.dumps([asdict(_stripped(each)) for each in _changes(self.kept)], indent=1, sort_keys=True)
        for here, there in replacements.items():
            text = text.replace(here, there)
        path.write_text(text + "\n")


class Replay(_Server):
    """A server that replays a recording."""

    def __init__(self, path: Path) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._lock = threading.Lock()
        self._left: dict[tuple[str, str, str], list[Exchange]] = {}
        for each in json.loads(path.read_text()):
            exchange = Exchange(**each)
            self._left.setdefault(exchange.key, []).append(exchange)
        self.calls: list[str] = []

    def exchange(self, method: str, path: str, body: bytes, headers: Any) -> Exchange:
        key = (method, urlsplit(path).path, _asked(path, body))
        with self._lock:
            self.calls.append(key[1])
            left = self._left.get(key)
            if not left:
                return Exchange(
                    *key, 404, {"Content-Type": "application/json"}, '{"detail": "not in the recording"}'
                )
            return left.pop(0) if len(left) > 1 else left[0]


@contextmanager
def serving(server: _Server) -> Iterator[str]:
    """Run a server; its URL."""
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield server.url
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def talk_to(patch: pytest.MonkeyPatch, url: str, environment: Mapping[str, str]) -> None:
    """Connect SkyPilot's client in this process to another server."""
    for name, value in {**environment, "SKYPILOT_API_SERVER_ENDPOINT": url}.items():
        patch.setenv(name, value)
    patch.setenv("SKYPILOT_DISABLE_USAGE_COLLECTION", "1")
    with warnings.catch_warnings():
        # The warnings of SkyPilot's own imports are not about this project.
        warnings.simplefilter("ignore")
        from sky.server import common

    for cached in (common.get_server_url, common.is_api_server_local, common.get_api_server_status_response):
        cached.cache_clear()


def _asked(path: str, body: bytes) -> str:
    query = parse_qs(urlsplit(path).query)
    if "request_id" in query:
        return query["request_id"][0]
    if "cluster_name" in query:
        return f"cluster {query['cluster_name'][0]}"
    given = json.loads(body) if body else {}
    if "follow" in given:
        return f"{'controller of ' if given.get('controller') else ''}job {given['job_id']}"
    return ""


def _changes(kept: list[Exchange]) -> Iterator[Exchange]:
    """The exchanges, without calls whose response is that of the same call before."""
    results = {each.asked: _result(each) for each in kept if each.path == RESULT}
    left_out: set[str] = set()
    last: dict[tuple[str, str, str], Any] = {}
    for each in kept:
        request = _request_id(each)
        if each.path == RESULT:
            if each.asked not in left_out:
                yield each
            continue
        result = (each.status, results.get(request, each.answer))
        if each.path in REPEATED and last.get(each.key) == result:
            left_out.add(request)
            continue
        last[each.key] = result
        yield each


def _request_id(exchange: Exchange) -> str:
    return next(
        (value for name, value in exchange.headers.items() if name.lower() == "x-skypilot-request-id"), ""
    )


def _result(exchange: Exchange) -> Any:
    payload = _payload(exchange)
    return (
        payload
        if payload is None
        else (payload.get("status"), payload.get("return_value"), payload.get("error"))
    )


def _payload(exchange: Exchange) -> dict[str, Any] | None:
    try:
        found = json.loads(exchange.answer)
    except ValueError:
        return None
    return found.get("detail", found) if isinstance(found, dict) else None


def _stripped(exchange: Exchange) -> Exchange:
    """An exchange without the pickled request and environment of the client, and without cluster commands."""
    try:
        answer = json.loads(exchange.answer)
    except ValueError:
        return exchange
    parts = answer if isinstance(answer, list) else [answer]
    for part in [each for each in parts if isinstance(each, dict)]:
        for payload in (part, part.get("detail")):
            if isinstance(payload, dict):
                payload.update(
                    {name: NOTHING for name in ("entrypoint", "request_body") if payload.get(name)}
                )
                payload.update(_without_clusters(payload.get("return_value")))
                payload.update(_without_traces(payload.get("error")))
    return Exchange(**{**asdict(exchange), "answer": json.dumps(answer)})


def _without_clusters(value: Any) -> dict[str, str]:
    """The replacement for a result about clusters, whose handles and commands belong to this machine."""
    if not isinstance(value, str) or '"last_creation_command"' not in value:
        return {}
    private = ("handle", "last_use", "last_creation_yaml", "last_creation_command", "credentials")
    records = json.loads(value)
    return {
        "return_value": json.dumps(
            [{k: v for k, v in record.items() if k not in private} for record in records]
        )
    }


def _without_traces(value: Any) -> dict[str, str]:
    """The replacement for an error, without its traceback and its cluster."""
    error = json.loads(value) if isinstance(value, str) else None
    if not isinstance(error, dict):
        return {}
    # Only data of the server that these tests started is recorded and unpickled.
    found = pickle.loads(base64.b64decode(error["object"]))
    if not isinstance(found, dict):
        return {}
    found.update(stacktrace=None, attributes={})
    return {"error": json.dumps({**error, "object": base64.b64encode(pickle.dumps(found)).decode()})}
