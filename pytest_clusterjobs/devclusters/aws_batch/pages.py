"""Pages of CloudWatch Logs: as small as those of the real service, and on request smaller, or empty."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from werkzeug.test import run_wsgi_app

from .model import Json
from .moto_internals import Application
from .moto_internals import place_of
from .moto_internals import token_of

MAX_PAGE_BYTES = 1 << 20
EVENT_OVERHEAD_BYTES = 26
"""Added to the length of an event's message."""
EMPTY_PAGE_PREFIX = "~"
"""The beginning of a token that was returned with an empty page."""


@dataclass(frozen=True, slots=True)
class Paging:
    """The limits of a page."""

    most: int = 10_000
    """Events on a page."""
    empty: bool = False
    """Whether an empty page precedes each page, as happens on the real service."""


class Pages:
    """Answers GetLogEvents."""

    def __init__(self, moto: Application) -> None:
        self._moto = moto
        self._of: dict[str, Paging] = {}

    def set(self, key: str, paging: Paging) -> None:
        """Set the limits for the caller with an access key."""
        self._of[key] = paging

    def answer(self, key: str, environ: dict[str, Any], body: bytes) -> tuple[str, Json]:
        """The status of the response, and the page or error."""
        paging = self._of.get(key, Paging())
        request = json.loads(body)
        token = request.get("nextToken", "")
        if paging.empty and _is_forward(request) and not token.startswith(EMPTY_PAGE_PREFIX):
            return "200 OK", {
                "events": [],
                "nextForwardToken": EMPTY_PAGE_PREFIX + token,
                "nextBackwardToken": token,
            }
        forwarded = {name: value for name, value in request.items() if name != "nextToken"}
        if token.removeprefix(EMPTY_PAGE_PREFIX):
            forwarded["nextToken"] = token.removeprefix(EMPTY_PAGE_PREFIX)
        status, answer = self._ask(environ, forwarded)
        if status.startswith("2"):
            answer = _cut(answer, paging.most, _is_forward(request))
            if token.startswith(EMPTY_PAGE_PREFIX) and not answer["events"]:
                # The end of a log is signalled by the token of the request.
                answer["nextForwardToken"] = token
        return status, answer

    def _ask(self, environ: dict[str, Any], request: Json) -> tuple[str, Json]:
        data = json.dumps(request).encode()
        repeated = {**environ, "wsgi.input": io.BytesIO(data), "CONTENT_LENGTH": str(len(data))}
        answer, status, _ = run_wsgi_app(self._moto, repeated, buffered=True)
        found: Json = json.loads(b"".join(answer))
        return status, found


def _is_forward(request: Json) -> bool:
    token = request.get("nextToken", "").removeprefix(EMPTY_PAGE_PREFIX)
    return token.startswith("f") if token else bool(request.get("startFromHead"))


def _cut(answer: Json, most: int, forward: bool) -> Json:
    """Limit a page: to its first events if it was read forward, otherwise to its last ones."""
    events: list[Json] = answer["events"]
    fits = _fitting(events if forward else reversed(events), most)
    if fits == len(events):
        return answer
    first, last = place_of(answer["nextBackwardToken"]), place_of(answer["nextForwardToken"])
    if forward:
        return {**answer, "events": events[:fits], "nextForwardToken": token_of("f", first + fits - 1)}
    return {**answer, "events": events[-fits:], "nextBackwardToken": token_of("b", last - fits + 1)}


def _fitting(events: Iterable[Json], most: int) -> int:
    count = size = 0
    for event in events:
        size += len(event["message"].encode()) + EVENT_OVERHEAD_BYTES
        if count and (count >= most or size > MAX_PAGE_BYTES):
            break
        count += 1
    return count
