"""Pages of CloudWatch Logs: as small as the real service makes them, and on demand smaller, or empty."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from werkzeug.test import run_wsgi_app

from .model import Json
from .moto_seams import Application
from .moto_seams import place_of
from .moto_seams import token_of

MOST_BYTES = 1 << 20
OVERHEAD = 26
"""Bytes that an event counts for beside its message."""
AGAIN = "~"
"""Begins a token that came with an empty page."""


@dataclass(frozen=True, slots=True)
class Paging:
    """What a page holds at most."""

    most: int = 10_000
    """Events."""
    empty: bool = False
    """Each page is preceded by an empty one, as the real service may do."""


class Pages:
    """Answers GetLogEvents."""

    def __init__(self, moto: Application) -> None:
        self._moto = moto
        self._of: dict[str, Paging] = {}

    def set(self, key: str, paging: Paging) -> None:
        """Say what the holder of an access key gets."""
        self._of[key] = paging

    def answer(self, key: str, environ: dict[str, Any], body: bytes) -> tuple[str, Json]:
        """The status, and the page or error."""
        paging = self._of.get(key, Paging())
        request = json.loads(body)
        token = request.get("nextToken", "")
        if paging.empty and _is_forward(request) and not token.startswith(AGAIN):
            return "200 OK", {"events": [], "nextForwardToken": AGAIN + token, "nextBackwardToken": token}
        asked = {name: value for name, value in request.items() if name != "nextToken"}
        if token.removeprefix(AGAIN):
            asked["nextToken"] = token.removeprefix(AGAIN)
        status, answer = self._ask(environ, asked)
        if status.startswith("2"):
            answer = _cut(answer, paging.most, _is_forward(request))
            if token.startswith(AGAIN) and not answer["events"]:
                # Whoever gets back what he gave is at the end.
                answer["nextForwardToken"] = token
        return status, answer

    def _ask(self, environ: dict[str, Any], request: Json) -> tuple[str, Json]:
        data = json.dumps(request).encode()
        told = {**environ, "wsgi.input": io.BytesIO(data), "CONTENT_LENGTH": str(len(data))}
        answer, status, _ = run_wsgi_app(self._moto, told, buffered=True)
        found: Json = json.loads(b"".join(answer))
        return status, found


def _is_forward(request: Json) -> bool:
    token = request.get("nextToken", "").removeprefix(AGAIN)
    return token.startswith("f") if token else bool(request.get("startFromHead"))


def _cut(answer: Json, most: int, forward: bool) -> Json:
    """What fits on a page: the first events of a page that was read forward, else the last ones."""
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
        size += len(event["message"].encode()) + OVERHEAD
        if count and (count >= most or size > MOST_BYTES):
            break
        count += 1
    return count
