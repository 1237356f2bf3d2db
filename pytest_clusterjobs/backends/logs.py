"""Reading the log of a job through its backend."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

from ..model import Handle
from ..model import LogChunk


def read_log(
    logs: Callable[..., LogChunk],
    handle: Handle,
    *,
    node: int = 0,
    restart: int | None = None,
    cursor: Any = None,
    tail: int | None = None,
) -> Iterator[LogChunk]:
    """The chunks of one node's log up to its present end: at least one; the last may be empty.

    ``logs`` is that method of a backend. Begins at ``cursor``, the one of the last chunk read before;
    ``None``: at the last ``tail`` bytes, or at the beginning of the log. Raises what ``logs`` raises.
    """
    more = True
    while more:
        chunk = logs(handle, node=node, restart=restart, cursor=cursor, tail=tail if cursor is None else None)
        more = bool(chunk.text) and not chunk.complete and chunk.cursor not in (None, cursor)
        cursor = chunk.cursor
        yield chunk
