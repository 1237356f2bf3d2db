"""SkyPilot's client with plain data in and out, with a timeout on every call, and without output.

SkyPilot prints to the terminal at any time, which must not happen in a test session.
"""

from __future__ import annotations

import io
import logging
import re
import time
import warnings
from collections.abc import Mapping
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from ..protocol import BackendError
from .calls import TimedCalls
from .errors import message_of
from .errors import NoResponse
from .late_launches import LateLaunches
from .modes import JobMode
from .project import select_config
from .records import CLUSTER_NAME_PREFIX_LENGTH
from .records import queued_job
from .records import QueuedJob
from .records import Request
from .records import request_text
from .states import LIVE_REQUESTS

LATE_CANCEL_DELAYS_SECONDS = (0.0, 30.0)
"""Pauses before each cancel of an unclaimed launch: the request may just have become a job."""


class Sky:
    """The client of the API server that the environment and SkyPilot's own configuration name.

    ``mode`` is the part that differs between managed jobs and those of one cluster. ``claim_timeout`` is the
    number of seconds in which a caller may claim a launch that has arrived after ``response_timeout``.
    """

    def __init__(self, mode: JobMode, response_timeout: float, claim_timeout: float = 0.0) -> None:
        self._mode = mode
        self._sky = _imported()
        self.late = LateLaunches(self._cancel_launch, claim_timeout)
        self._calls = TimedCalls(response_timeout, self.late)

    def check(self, config: Mapping[str, Any]) -> None:
        """Have SkyPilot parse a task, without the server. Raises SubmissionRejected."""
        self._calls.run(lambda: self._sky.Task.from_yaml_config(dict(config)))

    def launch(self, config: Mapping[str, Any], secrets: Mapping[str, str]) -> str:
        """Launch a job and return the id of the request, which is still running then.

        Raises SubmissionRejected, Throttled if there is no capacity for it yet, BackendError if the response
        is lost.
        """

        def launch() -> str:
            task = self._sky.Task.from_yaml_config(dict(config), secrets_overrides=list(secrets.items()))
            return str(self._mode.launch(self._sky, task, config["name"]))

        return self._calls.run(launch, launch=config["name"])

    def _cancel_launch(self, name: str, request: str) -> None:
        """Cancel a launch that arrived unclaimed, and the job that it may have become."""
        for delay in LATE_CANCEL_DELAYS_SECONDS:
            time.sleep(delay)
            with suppress(BackendError):
                self.cancel_requests([request])
                self.cancel([row.job_id for row in self.queue(name, live=True) if row.name == name])

    def requests(self, request_ids: Sequence[str]) -> dict[str, Request]:
        """The state of these requests, without those that the server no longer knows. Raises BackendError."""
        if not request_ids:
            return {}
        fields = ["request_id", "status"]
        found = self._calls.run(
            lambda: self._sky.api_status(request_ids=list(request_ids), all_status=True, fields=fields)
        )
        return {each.request_id: Request(each.request_id, str(each.status)) for each in found}

    def launches(self, name: str) -> dict[str, str]:
        """The live requests to launch jobs, by token; tokens begin with ``name``. Raises BackendError."""
        fields = ["request_id", "name", "status", "request_body"]
        pattern = re.compile(rb"\b" + re.escape(name.encode()) + rb"[a-z0-9-]*")
        found = {}
        for each in self._calls.run(lambda: self._sky.api_status(fields=fields)):
            if each.name in self._mode.requests and str(each.status) in LIVE_REQUESTS:
                match = pattern.search(request_text(each.request_body))
                if match is not None:
                    found[match[0].decode()] = str(each.request_id)
        return found

    def error_of(self, request_id: str) -> str:
        """The error message of a request that has failed; empty if it has not. Raises BackendError."""
        try:
            self._calls.run(lambda: self._sky.get(request_id) and None)
        except NoResponse:
            raise
        except BackendError as error:
            return str(error)
        return ""

    def queue(self, name: str, *, live: bool = False) -> list[QueuedJob]:
        """All jobs of this user, or the live ones, whose names contain ``name``, by id.

        Raises ClusterNotUp, BackendError.
        """
        rows = self._calls.run(lambda: [queued_job(each) for each in self._mode.queue(self._sky, name, live)])
        return sorted((row for row in rows if name in row.name), key=lambda row: row.job_id)

    def cancel(self, job_ids: Sequence[int]) -> None:
        """Request the end of jobs; ignores those that have ended. Raises BackendError."""
        if job_ids:
            self._calls.run(lambda: self._sky.get(self._mode.cancel(self._sky, list(job_ids))))

    def cancel_requests(self, request_ids: Sequence[str]) -> None:
        """Request the end of requests. Raises BackendError."""
        if request_ids:
            self._calls.run(lambda: self._sky.get(self._sky.api_cancel(list(request_ids))))

    def log(self, job_id: int, *, controller: bool = False, only: str = "") -> str:
        """The output of a job, or of its controller: the lines that contain ``only``. Raises BackendError."""
        stream = _LineFilter(only)
        self._calls.run(lambda: self._mode.tail(self._sky, job_id, controller, stream))
        return stream.getvalue()

    def costs(self, days: int) -> dict[tuple[str, int], float]:
        """The costs of jobs that ran in the last days, in US dollars, by ``QueuedJob.cost_key``.

        Omits jobs for which SkyPilot knows no price. Raises BackendError.
        """
        clusters = self._calls.run(
            lambda: [(str(x["name"]), x["total_cost"]) for x in self._mode.costs(self._sky, days)]
        )
        found: dict[tuple[str, int], float] = {}
        for name, cost in clusters:
            job, _, number = name.rpartition("-")
            if number.isdecimal() and cost:
                key = (job[:CLUSTER_NAME_PREFIX_LENGTH], int(number))
                found[key] = found.get(key, 0.0) + float(cost)
        return found


class _LineFilter(io.StringIO):
    """Keeps only the lines that contain a text: a log may be larger than memory."""

    def __init__(self, only: str) -> None:
        super().__init__()
        self._only = only

    def write(self, text: str) -> int:
        if self._only in text:
            super().write(text)
        return len(text)


def _imported() -> Any:
    """SkyPilot, configured not to print. Raises BackendError."""
    select_config()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import sky
            import sky.jobs
    except Exception as error:
        # For example a configuration file that it cannot read.
        raise BackendError(f"SkyPilot cannot be imported: {message_of(error)}") from error
    logger = logging.getLogger("sky")
    logger.handlers = [logging.NullHandler()]
    logger.propagate = False
    return sky
