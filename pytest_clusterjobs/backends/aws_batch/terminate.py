"""Terminates jobs, several in one call where the service and boto3 support it."""

from __future__ import annotations

from collections.abc import Sequence

from ...model.batches import batched
from ..protocol import BackendError
from .api import Api
from .errors import OperationNotSupported

MAX_JOBS_PER_CALL = 50
"""The service's limit for TerminateJobs."""


class Terminator:
    """Terminates jobs in every status; CancelJob would silently ignore jobs that have begun."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._has_terminate_jobs = True
        """Until the service reports that it does not support the operation."""

    def terminate(self, ids: Sequence[str], region: str, reason: str) -> None:
        """Terminate jobs of one region; ``reason`` becomes their status reason. Raises BackendError."""
        for batch in batched(ids, MAX_JOBS_PER_CALL):
            if len(batch) == 1 or not self._terminate_together(batch, region, reason):
                for job_id in batch:
                    self._api.batch("terminate_job", region, jobId=job_id, reason=reason)

    def _terminate_together(self, ids: Sequence[str], region: str, reason: str) -> bool:
        """Terminate jobs in one call; returns whether the call is supported."""
        if not self._has_terminate_jobs or not self._api.has_operation("terminate_jobs"):
            return False
        try:
            response = self._api.batch("terminate_jobs", region, jobs=list(ids), reason=reason)
        except OperationNotSupported:
            self._has_terminate_jobs = False
            return False
        failed = response.get("errors", ())
        if failed:
            message = failed[0].get("message") or failed[0].get("code")
            raise BackendError(f"TerminateJobs: {len(failed)} of {len(ids)} failed: {message}")
        return True
