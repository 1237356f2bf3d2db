"""The Slurm backend as the engine sees it."""

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
from ..protocol import BackendContext
from ..protocol import BackendError
from ..protocol import FindAnswer
from ..protocol import Found
from ..protocol import NotSubmitted
from ..protocol import SubmissionRejected
from ..protocol import Throttled
from ..protocol import Unknown
from . import commands
from . import queue
from .commands import NoAccounting
from .logs import read_log
from .observe import from_record
from .observe import KnownJob
from .observe import observe_end
from .observe import observe_held
from .observe import observe_live
from .places import checked
from .places import JobFolder
from .places import write
from .queue import QueueRow
from .records import EndRecord
from .records import read_record
from .script import shape_of
from .script import Submission
from .script import submission
from .settings import capabilities
from .settings import SETTLE
from .settings import SlurmSettings
from .states import is_held_after_failure

CANCELS = 500
"""Jobs in one call of scancel."""

LONG_AGO = 60.0
"""Seconds after which an end needs no more time to settle."""

OUTAGE = 10.0
"""Seconds in which a controller that did not answer is not queried for further tokens."""


class SlurmBackend:
    """Jobs of one cluster."""

    def __init__(self, context: BackendContext, settings: SlurmSettings) -> None:
        self._context = context
        self._settings = settings
        root = context.run_dir / context.name if settings.folder is None else settings.folder / context.run_id
        self._folder = checked(root)
        self.capabilities = capabilities(settings)
        self._ended: dict[str, float] = {}
        """Tokens whose end was seen, and when, in monotonic seconds."""
        self._given_up: dict[str, Observation] = {}
        """The last observations of jobs that were taken out of the queue because Slurm held them for ever."""
        self._accounting = True
        """True until sacct reports that there is no accounting."""
        self._outage: tuple[float, str] | None = None
        """When the controller last failed to answer for a token, and its message."""

    # Submitting.

    def preview(self, spec: JobSpec, token: str) -> str:
        """See :class:`Previewing`."""
        return str(self._submission(spec, token))

    def submit(self, spec: JobSpec, token: str) -> Handle:
        """See :class:`Backend`."""
        folder = self._job_folder(token)
        known = folder.path.exists() and self._id_of(token, folder)
        if known:
            return self._handle(token, known)
        secrets = secrets_of(spec)
        order = self._submission(spec, token)
        try:
            write(folder, order.script, secrets)
        except OSError as error:
            raise SubmissionRejected(f"cannot write {error.filename}: {error.strerror}") from error
        try:
            job_id = self._sbatch(order, spec, token)
        except (SubmissionRejected, Throttled):
            folder.secrets.unlink(missing_ok=True)
            raise
        with suppress(OSError):
            # Without the file, Slurm is queried by name.
            folder.job_id.write_text(f"{job_id}\n")
        return _handle(token, job_id, folder, spec.nodes, spec.max_restarts)

    def _sbatch(self, order: Submission, spec: JobSpec, token: str) -> str:
        """The id of the new job. Raises the errors of ``commands.sbatch`` except StillWaiting."""
        try:
            return commands.sbatch(order.command, secrets=spec.secrets, folder=self._context.rootdir)
        except commands.StillWaiting as error:
            # It may have been just about to try again.
            time.sleep(self.capabilities.find_settle)
            job_id = self._id_of(token, self._job_folder(token))
            if job_id is None:
                raise Throttled(str(error)) from error
            return job_id

    def _submission(self, spec: JobSpec, token: str) -> Submission:
        return submission(
            spec,
            token,
            settings=self._settings,
            folder=self._job_folder(token),
            rootdir=self._context.rootdir,
            inherited=commands.environment(spec.secrets),
        )

    def _job_folder(self, token: str) -> JobFolder:
        return JobFolder(self._folder / token)

    def _handle(self, token: str, job_id: str) -> Handle:
        """The handle of a job whose number of ranks is known from its folder only."""
        folder = self._job_folder(token)
        return _handle(token, job_id, folder, *shape_of(folder.script))

    # Watching.

    def poll(self, handles: Mapping[str, Handle]) -> Mapping[str, Observation]:
        """See :class:`Backend`. Jobs are identified by name, since Slurm reuses job ids."""
        if not handles:
            return {}
        numbers = _numbers(handles)
        rows = _named(numbers, queue.by_ids(numbers.values()))
        missing = {token: number for token, number in numbers.items() if token not in rows}
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
        job = _known(token, handle)
        if token in self._given_up:
            return self._given_up[token]
        if row is not None and is_held_after_failure(row.state, row.reason, row.restarts):
            held = read_record(job.folder)
            if not held.has_ended:
                return self._give_up(job, row, held)
        if row is not None and not (row.phase is Phase.ENDED or _may_be_queued_for_nothing(row)):
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
        found = observe_end(job, row, record) if row is not None else from_record(job, record)
        if found is None:
            return Observation(Phase.ABSENT, native_reason=self._absence()) if answered else None
        if job.folder.secrets.name in record.names:
            with suppress(OSError):
                job.folder.secrets.unlink()
        whole = record.ended is not None or self._has_settled(token, row)
        return replace(found, log_complete=whole)

    def _give_up(self, job: KnownJob, row: QueueRow, record: EndRecord) -> Observation:
        """End a job that Slurm holds because it could not be started; on failure the next poll retries."""
        try:
            commands.scancel([row.job_id])
        except BackendError:
            return observe_live(job, row)
        self._given_up[job.token] = observe_held(job, row, record)
        return self._given_up[job.token]

    def _drop(self, job_id: str) -> None:
        """Take an ended job out of the queue, where the site's RequeueExit has put it again."""
        with suppress(BackendError):
            commands.scancel([job_id])

    def _has_settled(self, token: str, row: QueueRow | None) -> bool:
        """Whether an end without a final record of the batch script is too old for files to appear."""
        now = time.monotonic()
        if now - self._ended.setdefault(token, now) >= SETTLE - 1.0:
            return True
        return row is not None and (not row.nodes or time.time() - (row.ended or 0.0) >= LONG_AGO)

    def _accounted(self, missing: Mapping[str, str]) -> dict[str, QueueRow] | None:
        """Those of these jobs that are in the accounting; ``None`` if the accounting does not answer now."""
        try:
            rows = queue.accounted(missing.values())
        except NoAccounting:
            self._accounting = False
            return {}
        except BackendError:
            return None
        self._accounting = True
        return _named(missing, rows)

    def _absence(self) -> str:
        accounts = "nor does sacct" if self._accounting else "and this cluster keeps no accounts"
        return f"squeue does not know the job, {accounts}"

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
        folder = _known(token, handle).folder
        # Checked before reading, since the end might be missed otherwise.
        ended = read_record(folder).ended is not None or self._is_over(token, handle)
        return read_log(
            folder,
            node=node,
            restart=restart,
            cursor=cursor,
            tail=tail,
            last=read_record(folder).restarts,
            ended=ended,
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
        """See :class:`Backend`. Slurm sends TERM at once, and KILL after its ``KillWait``."""
        numbers = _numbers(handles)
        rows = _named(numbers, queue.by_ids(numbers.values())) if numbers else {}
        live = [row.job_id for row in rows.values() if row.phase is not Phase.ENDED]
        for batch in batched(live, CANCELS):
            commands.scancel(batch)

    # Finding.

    def find(self, token: str) -> FindAnswer:
        """See :class:`Backend`."""
        if self._outage is not None and time.monotonic() - self._outage[0] < OUTAGE:
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
            if (told := folder.job_id.read_text().strip()).isdecimal():
                return told
        owner = read_record(folder).owner
        if owner is not None:
            return owner
        rows = queue.by_name(token)
        if not rows and folder.script.exists():
            with suppress(NoAccounting):
                rows = queue.accounted_by_name(token, since=folder.script.stat().st_mtime - 3600.0)
        return min(rows, key=int, default=None)

    def sweep(self, run_id: str) -> Mapping[str, Handle]:
        """See :class:`Backend`."""
        live = (row for row in queue.mine().values() if row.phase is not Phase.ENDED)
        return {row.name: self._handle(row.name, row.job_id) for row in live if run_of(row.name) == run_id}

    def close(self) -> None:
        """See :class:`Backend`."""


def _handle(token: str, job_id: str, folder: JobFolder, ranks: int, restarts: int) -> Handle:
    data = {"folder": str(folder.path), "token": token, "nodes": ranks, "restarts": restarts}
    return Handle(job_id, data)


def _known(token: str, handle: Handle) -> KnownJob:
    data = handle.data
    return KnownJob(token, JobFolder(Path(data["folder"])), data["nodes"], data["restarts"] > 0)


def _may_be_queued_for_nothing(row: QueueRow) -> bool:
    return row.phase is Phase.PENDING and row.restarts > 0


def _numbers(handles: Mapping[str, Handle]) -> dict[str, str]:
    return {token: handle.job_id for token, handle in handles.items() if handle.job_id is not None}


def _named(numbers: Mapping[str, str], rows: Mapping[str, QueueRow]) -> dict[str, QueueRow]:
    """The rows by token, of jobs whose name is the token, since Slurm reuses job ids."""
    found = {token: rows[number] for token, number in numbers.items() if number in rows}
    return {token: row for token, row in found.items() if row.name == token}
