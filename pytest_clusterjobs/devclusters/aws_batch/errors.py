"""What the service refuses."""

from __future__ import annotations

import uuid

from . import texts


class Refused(Exception):
    """A request that the service answers with an error."""

    status = 400
    code = "ClientException"

    def __init__(self, what: str) -> None:
        super().__init__(texts.ERROR.format(what=what, request=uuid.uuid4()))


class TooManyIds(Refused):
    """More jobs than a call may name."""

    def __init__(self) -> None:
        Exception.__init__(self, texts.TOO_MANY_IDS.format(request=uuid.uuid4()))


class Verbatim(Refused):
    """A refusal whose whole text is known."""

    def __init__(self, what: str) -> None:
        Exception.__init__(self, what)
