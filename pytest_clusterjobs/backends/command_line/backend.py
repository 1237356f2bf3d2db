"""The base class of backends that run a scheduler's own commands: what all of them do."""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ...model import Handle
from ...model import JobSpec
from ...model import LogChunk
from ...model import Observation
from ...model import Phase
from ...model.batches import batched
from ...model.token import run_of
from ..environment import secrets_of
from ..limits import refuse
from ..logfile import read_rank_log
from ..protocol import BackendContext
from ..protocol import BackendError
from ..protocol import Capabilities
from ..protocol import FindAnswer
from ..protocol import Found
from ..protocol import NotSubmitted
from ..protocol import SubmissionRejected
from ..protocol import Throttled
from ..protocol import Unknown
from .commands import NoAccounting
from .commands import SubmissionInterrupted
from .job_folder import JobFolder
from .job_folder import write_job
from .launcher_output import LauncherOutput
from .launcher_output import read_last_output
from .observe import KnownJob
from .observe import observe_end
from .observe import observe_held
from .observe import observe_live
from .observe import observe_recorded_end
from .queue_row import QueueRow
from .records import EndRecord
from .records import read_record
from .script import ranks_and_restarts
from .script import Submission
from .template import SchedulerTemplate

MAX_IDS_PER_CANCEL = 500
"""Jobs in one call of the cancel command."""

SETTLED_AFTER_SECONDS = 60.0
"""An end that is older needs no more time for files to appear."""

OUTAGE_SECONDS = 10.0
"""How long a scheduler that did not answer is not queried for further tokens."""

CLOCK_MARGIN_SECONDS = 3600.0
"""How much earlier than the batch script's file a job may have been submitted by the accounting's clock."""


class CommandLineBackend(SchedulerTemplate):
    """Jobs of one cluster, by the commands of its scheduler. See :mod:`.template` for what to override."""

    def __init__(self, context: BackendContext, capabilities: Capabilities, folder: Path) -> None:
        super().__init__(context)
        self.capabilities = capabilities
        self._folder = folder
        """Holds the folders of the run's jobs."""
        self._ended: dict[str, float] = {}
        """Tokens whose end was seen, and when, in monotonic seconds."""
        self._given_up: dict[str, Observation] = {}
        """The last observations of held jobs that were taken out of the queue."""
        self._has_accounting = True
        """True until a query of the accounting reports that there is none."""
        self._outage: tuple[float, str] | None = None
        """When the scheduler last failed to answer for a token, and its message."""

    # Submitting.

    def preview(self, spec: JobSpec, token: str) -> str:
        """See :class:`Previewing`."""
        return str(self.build_submission(spec, token, self._job_folder(token)))

    def submit(self, spec: JobSpec, token: str) -> Handle:
        """See :class:`Backend`."""
        refuse(spec, self.capabilities, self.context.name)
        folder = self._job_folder(token)
        known = folder.path.exists() and self._id_of(token, folder)
        if known:
            return self._handle(token, known)
        secrets = secrets_of(spec)
        submission = self.build_submission(spec, token, folder)
        try:
            write_job(folder, submission.script, secrets)
        except OSError as error:
            raise SubmissionRejected(f"cannot write {error.filename}: {error.strerror}") from error
        try:
            job_id = self._run_submission(submission, spec, token)
        except (SubmissionRejected, Throttled):
            folder.secrets.unlink(missing_ok=True)
            raise
        with suppress(OSError):
            # Without the file, the scheduler is queried by name.
            folder.job_id.write_text(f"{job_id}\n")
        return _handle(token, job_id, folder, spec.nodes, spec.max_restarts)

    def _run_submission(self, submission: Submission, spec: JobSpec, token: str) -> str:
        """The id of the new job.

        Raises the errors of ``CommandRunner.submit`` except SubmissionInterrupted.
        """
        try:
            return self.runner.submit(
                submission.command,
                secrets=spec.secrets,
                folder=self.context.rootdir,
                job_id_of=self.job_id_of,
            )
        except SubmissionInterrupted as error:
            # It may have been just about to try again.
            time.sleep(self.capabilities.find_settle)
            job_id = self._id_of(token, self._job_folder(token))
            if job_id is None:
                raise Throttled(str(error)) from error
            return job_id

    def _job_folder(self, token: str) -> JobFolder:
        return JobFolder(self._folder / token)

    def _handle(self, token: str, job_id: str) -> Handle:
        """The handle of a job whose number of ranks is known from its folder only."""
        folder = self._job_folder(token)
        return _handle(token, job_id, folder, *ranks_and_restarts(folder.script))

    # Watching.

    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        """See :class:`Backend`. Jobs are identified by name, since schedulers reuse job ids."""
        job_ids = _job_ids(handles)
        if not job_ids:
            return {}
        rows = _by_token(job_ids, self.jobs_by_id(job_ids.values()))
        missing = {token: job_id for token, job_id in job_ids.items() if token not in rows}
        accounted = self._accounted(missing) if missing else {}
        rows.update(accounted or {})
        seen = {}
        for token, handle in handles.items():
            found = self._observe(token, handle, rows.get(token), answered=accounted is not None)
            if found is not None:
                seen[token] = found
        return seen

    def _observe(
        self, token: str, handle: Handle, row: QueueRow | None, *, answered: bool
    ) -> Observation | None:
        """``answered``: whether the accounting has answered, so that a job without a row is absent."""
        job = self._known_job(token, handle)
        if token in self._given_up:
            return self._given_up[token]
        if row is not None and row.is_held:
            record = read_record(job.folder)
            if not record.has_ended:
                return self._give_up(job, row, record)
        if row is not None and not (row.phase is Phase.ENDED or _is_queued_again(row)):
            return observe_live(job, row)
        record = read_record(job.folder)
        if row is not None and row.phase is not Phase.ENDED:
            if not record.has_ended:
                return observe_live(job, row)
            self._drop(row.job_id)
            row = None
        if record.owner not in (None, handle.job_id):
            # Submitted twice despite all precautions: the other job has the token.
            return Observation(Phase.PENDING, handle=replace(handle, job_id=record.owner))
        found = self._observe_end(job, row, record)
        if found is None:
            reason = self.absence_reason(self._has_accounting)
            return Observation(Phase.ABSENT, native_reason=reason) if answered else None
        if job.folder.secrets.name in record.names:
            with suppress(OSError):
                job.folder.secrets.unlink()
        is_complete = record.ended is not None or self._has_settled(token, row)
        return replace(found, log_complete=is_complete)

    def _observe_end(self, job: KnownJob, row: QueueRow | None, record: EndRecord) -> Observation | None:
        launcher = self._launcher_output_of(job)
        if row is None:
            return observe_recorded_end(job, record, launcher)
        return observe_end(job, row, record, launcher)

    def _launcher_output_of(self, job: KnownJob) -> LauncherOutput:
        return self.launcher_output(read_last_output(job.folder))

    def _give_up(self, job: KnownJob, row: QueueRow, record: EndRecord) -> Observation:
        """End a job that the scheduler holds after a failed start; on failure the next poll retries."""
        try:
            self.cancel_jobs([row.job_id])
        except BackendError:
            return observe_live(job, row)
        self._given_up[job.token] = observe_held(job, row, record, self._launcher_output_of(job))
        return self._given_up[job.token]

    def _drop(self, job_id: str) -> None:
        """Take an ended job out of the queue, where the site's settings have put it again."""
        with suppress(BackendError):
            self.cancel_jobs([job_id])

    def _has_settled(self, token: str, row: QueueRow | None) -> bool:
        """Whether an end without a final record of the batch script is too old for files to appear."""
        now = time.monotonic()
        if now - self._ended.setdefault(token, now) >= self.capabilities.log_settle - 1.0:
            return True
        if row is None:
            return False
        return row.started is None or time.time() - (row.ended or 0.0) >= SETTLED_AFTER_SECONDS

    def _accounted(self, missing: Mapping[str, str]) -> dict[str, QueueRow] | None:
        """Those of these jobs that are in the accounting; ``None`` if the accounting does not answer now."""
        try:
            rows = self.accounted_by_id(missing.values())
        except NoAccounting:
            self._has_accounting = False
            return {}
        except BackendError:
            return None
        self._has_accounting = True
        return _by_token(missing, rows)

    def logs(
        self,
        handle: Handle,
        *,
        node: int = 0,
        restart: int | None = None,
        cursor: Any = None,
        tail: int | None = None,
    ) -> LogChunk:
        """See :class:`Backend`.

        A cursor of the last start continues into the next one when the job is restarted.
        """
        token = handle.data["token"]
        folder = self._known_job(token, handle).folder
        # Checked before reading, since the end might be missed otherwise.
        ended = read_record(folder).ended is not None or self._is_over(token, handle)
        return read_rank_log(
            lambda start: folder.log(node, start),
            restart=restart,
            cursor=cursor,
            tail=tail,
            last=read_record(folder).restarts,
            ended=ended,
            # The batch script creates the log of rank 0 before each start; others have none if the launcher
            # could not begin.
            must_exist=lambda start: folder.has_start(start) and node == 0,
        )

    def _is_over(self, token: str, handle: Handle) -> bool:
        """Whether a job without a final record of its own has ended, and its files have arrived."""
        if token not in self._ended:
            with suppress(BackendError):
                seen = self.poll({token: handle}).get(token)
                return seen is not None and seen.phase is Phase.ENDED and seen.log_complete
        return self._has_settled(token, None)

    # Ending.

    def cancel(self, handles: Mapping[str, Handle]) -> None:
        """See :class:`Backend`."""
        job_ids = _job_ids(handles)
        rows = _by_token(job_ids, self.jobs_by_id(job_ids.values())) if job_ids else {}
        live = [row.job_id for row in rows.values() if row.phase is not Phase.ENDED]
        for job_ids_of_call in batched(live, MAX_IDS_PER_CANCEL):
            self.cancel_jobs(job_ids_of_call)

    # Finding.

    def find(self, token: str) -> FindAnswer:
        """See :class:`Backend`."""
        if self._outage is not None and time.monotonic() - self._outage[0] < OUTAGE_SECONDS:
            return Unknown(self._outage[1])
        try:
            job_id = self._id_of(token, self._job_folder(token))
        except BackendError as error:
            self._outage = (time.monotonic(), str(error))
            return Unknown(str(error))
        return NotSubmitted() if job_id is None else Found(self._handle(token, job_id))

    def _id_of(self, token: str, folder: JobFolder) -> str | None:
        """The id of a token's job; ``None`` if there is none.

        Raises BackendError if it cannot be found out now.
        """
        with suppress(OSError):
            text = folder.job_id.read_text()
            if text.strip() and text.endswith("\n"):
                return text.strip()
        owner = read_record(folder).owner
        if owner is not None:
            return owner
        rows = self.jobs_by_name(token)
        if not rows and folder.script.exists():
            with suppress(NoAccounting):
                since = folder.script.stat().st_mtime - CLOCK_MARGIN_SECONDS
                rows = self.accounted_by_name(token, since)
        return min(rows, key=_submission_order, default=None)

    def sweep(self, run_id: str) -> Mapping[str, Handle]:
        """See :class:`Backend`."""
        live = (row for row in self.own_jobs().values() if row.phase is not Phase.ENDED)
        return {row.name: self._handle(row.name, row.job_id) for row in live if run_of(row.name) == run_id}

    def close(self) -> None:
        """See :class:`Backend`."""

    def _known_job(self, token: str, handle: Handle) -> KnownJob:
        data = handle.data
        folder = JobFolder(Path(data["folder"]))
        return KnownJob(token, folder, data["nodes"], data["restarts"] > 0, self.runner.scheduler)


def _handle(token: str, job_id: str, folder: JobFolder, ranks: int, restarts: int) -> Handle:
    data = {"folder": str(folder.path), "token": token, "nodes": ranks, "restarts": restarts}
    return Handle(job_id, data)


def _is_queued_again(row: QueueRow) -> bool:
    """Whether a job may have ended by itself before it was put into the queue again."""
    return row.phase is Phase.PENDING and row.restarts > 0


def _job_ids(handles: Mapping[str, Handle]) -> dict[str, str]:
    return {token: handle.job_id for token, handle in handles.items() if handle.job_id is not None}


def _by_token(job_ids: Mapping[str, str], rows: Mapping[str, QueueRow]) -> dict[str, QueueRow]:
    """The rows by token, of jobs whose name is the token, since schedulers reuse job ids."""
    found = {token: rows[job_id] for token, job_id in job_ids.items() if job_id in rows}
    return {token: row for token, row in found.items() if row.name == token}


def _submission_order(job_id: str) -> tuple[int, str]:
    """Ids of one scheduler in the order of submission: by length, then by text, as for numbers."""
    return len(job_id), job_id
