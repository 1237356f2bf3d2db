"""Reads one log stream of CloudWatch Logs: pages from a token on, or from the end."""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from .api import Api
from .errors import LogStreamNotFound
from .job_detail import StreamName

MAX_PAGES_PER_READ = 4
"""Pages, of 1 MB at most, that one call of :func:`read_forward` reads."""

MAX_EVENTS_PER_PAGE = 10_000
"""CloudWatch's limit; an event is a line."""

ASSUMED_LINE_BYTES = 24
"""Determines how many lines are requested for a tail; if lines are shorter, further pages are read."""

FULL_PAGE_BYTES = 500_000
"""A smaller page with fewer lines than requested is the first of its stream."""


@dataclass(frozen=True, slots=True)
class LogLines:
    """Some lines, and where they end."""

    text: str
    token: str | None
    """The next read continues here; ``None`` if the stream does not exist yet."""
    at_end: bool
    """Whether these are the last lines for now."""
    missing: str = ""
    """CloudWatch's message if the stream does not exist: not yet, or no longer."""


def read_forward(api: Api, stream: StreamName, token: str | None) -> LogLines:
    """Read the next lines after ``token``, or the first lines.

    The end is reached when a page returns its own token; an empty page is not the end.
    """
    texts: list[str] = []
    for _ in range(MAX_PAGES_PER_READ):
        try:
            page = _page(api, stream, token, startFromHead=True)
        except LogStreamNotFound as error:
            return LogLines("".join(texts), token, at_end=True, missing=str(error))
        texts.append(_text(page["events"]))
        if page["nextForwardToken"] == token:
            return LogLines("".join(texts), token, at_end=True)
        token = page["nextForwardToken"]
    return LogLines("".join(texts), token, at_end=False)


def read_tail(api: Api, stream: StreamName, size: int) -> LogLines:
    """Read the last ``size`` bytes, without a character that is cut."""
    text, forward, missing = "", None, ""
    limit = min(MAX_EVENTS_PER_PAGE, max(20, size // ASSUMED_LINE_BYTES))
    try:
        for page in _pages_backward(api, stream, limit):
            text, forward = _text(page["events"]) + text, forward or page["nextForwardToken"]
            if len(text.encode()) >= size:
                break
    except LogStreamNotFound as error:
        missing = str(error)
    return LogLines(last_bytes(text, size), forward, at_end=True, missing=missing)


def pages_from_end(api: Api, stream: StreamName, limit: int) -> Iterator[str]:
    """The texts of the last ``limit`` pages, the last one first; each consists of whole lines."""
    for page in islice(_pages_backward(api, stream, MAX_EVENTS_PER_PAGE), limit):
        yield _text(page["events"])


def last_bytes(text: str, size: int) -> str:
    """The last ``size`` bytes of a text, without a character that is cut."""
    return text.encode()[-size:].decode("utf-8", "ignore")


def _pages_backward(api: Api, stream: StreamName, limit: int) -> Iterator[Mapping[str, Any]]:
    """Pages of at most ``limit`` lines, from the end to the beginning."""
    token = None
    while True:
        page = _page(api, stream, token, startFromHead=False, limit=limit)
        yield page
        size = sum(len(event["message"]) for event in page["events"])
        if page["nextBackwardToken"] == token or (0 < len(page["events"]) < limit and size < FULL_PAGE_BYTES):
            return
        token = page["nextBackwardToken"]


def _page(api: Api, stream: StreamName, token: str | None, **options: Any) -> Mapping[str, Any]:
    if token is not None:
        options["nextToken"] = token
    return api.logs(
        "get_log_events", stream.region, logGroupName=stream.group, logStreamName=stream.name, **options
    )


def _text(events: Sequence[Mapping[str, Any]]) -> str:
    return "".join(f"{event['message']}\n" for event in events)
