"""Requests that the service rejects."""

from __future__ import annotations

import uuid

from . import texts


class BadRequest(Exception):
    """A request that the service answers with an error of status 400."""

    status = 400
    code = "ClientException"

    def __init__(self, message: str, *, is_verbatim: bool = False) -> None:
        """``is_verbatim``: the whole text of the real service is known, and ``message`` is this text."""
        if not is_verbatim:
            message = texts.ERROR.format(what=message, request=uuid.uuid4())
        super().__init__(message)
