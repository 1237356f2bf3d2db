"""Reading a log stream of CloudWatch: a piece from a token on, or its end."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from .api import Api
from .detail import StreamName
from .errors import NotThere

PIECES = 4
"""Pages (of 1 MB at most) that one call reads."""

SHORTEST_LINE = 24
"""Assumed bytes of a line, for a tail; if lines are shorter, further pages are read."""

MAX_EVENTS = 10_000

ROOMY = 500_000
"""Bytes; a page below this size with fewer lines than requested counts as complete."""


@dataclass(frozen=True, slots=True)
class LogLines:
    """Some lines, and where they end."""

    text: str
    token: str | None
    """Continues from here; ``None`` if the stream does not exist yet."""
    at_end: bool
    """Whether there is no more of it now."""
    missing: str = ""
    """CloudWatch's message if there is no such stream: not yet, or not any more."""


def read_on(api: Api, stream: StreamName, token: str | None) -> LogLines:
    """The next lines after ``token``, or the first. An empty page is not the end; an unchanged token is."""
    pieces: list[str] = []
    for _ in range(PIECES):
        try:
            page = _page(api, stream, token, startFromHead=True)
        except NotThere as error:
            return LogLines("".join(pieces), token, at_end=True, missing=str(error))
        pieces.append(_text(page["events"]))
        if page["nextForwardToken"] == token:
            return LogLines("".join(pieces), token, at_end=True)
        token = page["nextForwardToken"]
    return LogLines("".join(pieces), token, at_end=False)


def read_tail(api: Api, stream: StreamName, size: int) -> LogLines:
    """The last ``size`` bytes at most, cut at whole characters."""
    text, forward = "", None
    try:
        for page in _backwards(api, stream, min(MAX_EVENTS, max(20, size // SHORTEST_LINE))):
            text, forward = _text(page["events"]) + text, forward or page["nextForwardToken"]
            if len(text.encode()) >= size:
                break
    except NotThere as error:
        return LogLines(last_bytes(text, size), forward, at_end=True, missing=str(error))
    return LogLines(last_bytes(text, size), forward, at_end=True)


def pages_from_end(api: Api, stream: StreamName, most: int) -> Iterator[str]:
    """The texts of the last ``most`` pages, the last one first; each begins and ends with a line."""
    for page in islice(_backwards(api, stream, MAX_EVENTS), most):
        yield _text(page["events"])


def last_bytes(text: str, size: int) -> str:
    """The end of a text, at most ``size`` bytes, cut at whole characters."""
    return text.encode()[-size:].decode("utf-8", "ignore")


def _backwards(api: Api, stream: StreamName, limit: int) -> Iterator[Mapping[str, Any]]:
    """Pages of at most ``limit`` lines, from the end to the beginning."""
    token = None
    while True:
        page = _page(api, stream, token, startFromHead=False, limit=limit)
        yield page
        size = sum(len(event["message"]) for event in page["events"])
        if page["nextBackwardToken"] == token or (0 < len(page["events"]) < limit and size < ROOMY):
            return
        token = page["nextBackwardToken"]


def _page(
    api: Api, stream: StreamName, token: str | None, *, startFromHead: bool, **more: Any
) -> Mapping[str, Any]:
    if token is not None:
        more["nextToken"] = token
    return api.logs(
        "get_log_events",
        stream.region,
        logGroupName=stream.group,
        logStreamName=stream.name,
        startFromHead=startFromHead,
        **more,
    )


def _text(events: Sequence[Mapping[str, Any]]) -> str:
    """Each event is a line."""
    return "".join(f"{event['message']}\n" for event in events)
