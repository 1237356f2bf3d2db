"""The events that the core receives, and the commands that it returns. Plain data.

The core is a function of events: ``Core.handle(event, now)`` returns commands. The driver carries them out.
It answers each with one event, in any order; a Submit is answered by one event for each job and one for the
thread, Publish and Forget by none. ``RESTS_ON_COMMIT`` names what the core gives out only after a commit.
"""

from __future__ import annotations

from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import NamedTuple

from ..backends.protocol import Capabilities
from ..backends.protocol import FindAnswer
from ..ledger.batch import Batch
from ..model import Handle
from ..model import JobSpec
from ..model import LogChunk
from ..model import Observation
from ..model import OwnAction
from ..model.records import Attempt
from ..model.records import Registration
from ..model.records import Result
from ..model.records import Ruling


class Now(NamedTuple):
    """The present time, by both clocks."""

    monotonic: float
    """Seconds since an arbitrary start, without jumps."""
    time: float
    """Seconds since the epoch; may jump."""


# Commands.


@dataclass(frozen=True, slots=True)
class Commit:
    """Write a batch in one transaction. Answered by Committed, CommitFailed or SessionSuperseded."""

    batch: Batch


@dataclass(frozen=True, slots=True)
class ReadLedger:
    """Read what other processes of the run have written. Answered by LedgerRead or SessionSuperseded."""

    after: int
    """The number of the last cell that is known."""


@dataclass(frozen=True, slots=True)
class Open:
    """Open a backend. Answered by Opened or OpenFailed."""

    backend: str


@dataclass(frozen=True, slots=True)
class Submit:
    """Submit jobs one after the other. Each is answered by one Submitted, and all by one ThreadFree."""

    backend: str
    jobs: Sequence[tuple[JobSpec, str]]
    """Specs and tokens."""


@dataclass(frozen=True, slots=True)
class Find:
    """Look a token up. Answered by Looked or CallFailed."""

    backend: str
    token: str


@dataclass(frozen=True, slots=True)
class PollJobs:
    """PollJobs jobs. Answered by Polled."""

    backend: str
    handles: Mapping[str, Handle]


@dataclass(frozen=True, slots=True)
class ListJobs:
    """List the live jobs of the run. Answered by Listed or CallFailed."""

    backend: str


@dataclass(frozen=True, slots=True)
class ReadLogs:
    """Read logs of a job. Answered by LogsRead."""

    backend: str
    token: str
    seen: Observation
    whole: bool = False
    """Whether the verdict needs all ranks' whole logs."""
    reports: bool = True
    """Whether to look for the reports of ranks that have none."""
    excerpts: Sequence[int] = ()
    """Ranks whose last lines explain the verdict."""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Ask the cluster to end jobs. Answered by CancelAnswered."""

    backend: str
    handles: Mapping[str, Handle]


@dataclass(frozen=True, slots=True)
class PrepareSpec:
    """Let the hooks decide what an attempt submits. Answered by Prepared or SubmissionVetoed."""

    token: str
    registration: Registration
    number: int


@dataclass(frozen=True, slots=True)
class AskHooks:
    """Let the hooks look at a verdict. Answered by HooksAnswered."""

    backend: str
    token: str
    registration: Registration
    spec: JobSpec
    result: Result
    check: bool
    """Whether the hook that checks the job may be asked: the job has logs."""
    notify: bool
    """Whether the hook for ended jobs is called."""


@dataclass(frozen=True, slots=True)
class Publish:
    """Hand a verdict to those who wait for it."""

    result: Result


@dataclass(frozen=True, slots=True)
class Forget:
    """What was read of a job's logs is not needed any more."""

    token: str


Command = (
    Commit
    | ReadLedger
    | Open
    | Submit
    | Find
    | PollJobs
    | ListJobs
    | ReadLogs
    | Cancel
    | PrepareSpec
    | AskHooks
    | Publish
    | Forget
)

RESTS_ON_COMMIT: Mapping[type[Command], str] = {
    Submit: "the intent: after a crash the job is looked up",
    Publish: "the verdict, unless the ledger cannot be written at all",
}
"""What is given out only after a commit, and what it rests on. All other commands never wait for a commit;
a cancellation waits at most ``CANCEL_COMMIT_WAIT_SECONDS`` for the record of its action."""


# Events: answers to commands.


@dataclass(frozen=True, slots=True)
class Committed:
    """The batch is in the ledger."""


@dataclass(frozen=True, slots=True)
class CommitFailed:
    """The batch is not in the ledger."""

    error: Exception
    for_good: bool = False
    """Whether another try cannot help."""


@dataclass(frozen=True, slots=True)
class LedgerRead:
    """What the ledger has: new cells, and all attempts that have no outcome."""

    cells: Sequence[tuple[int, Registration]]
    attempts: Sequence[Attempt]
    error: str = ""
    """Why it could not be read; then the rest is empty."""


@dataclass(frozen=True, slots=True)
class SessionSuperseded:
    """A later session has begun on the run, and handles what is left to do."""

    error: Exception


@dataclass(frozen=True, slots=True)
class Opened:
    """A backend is open."""

    backend: str
    capabilities: Capabilities
    notifies: bool


@dataclass(frozen=True, slots=True)
class OpenFailed:
    """A backend could not be opened."""

    backend: str
    error: str
    for_good: bool


@dataclass(frozen=True, slots=True)
class Accepted:
    """The cluster has accepted the job."""

    handle: Handle


@dataclass(frozen=True, slots=True)
class Rejected:
    """The cluster, or with ``by_this_run`` this run, does not want the job at all."""

    why: str
    by_this_run: bool = False


@dataclass(frozen=True, slots=True)
class NotAccepted:
    """The cluster accepts no such job for now, and has not accepted this one."""

    why: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """The job may exist."""

    why: str


@dataclass(frozen=True, slots=True)
class NotSent:
    """The driver did not ask the cluster, because the core had decided otherwise meanwhile."""


SubmitAnswer = Accepted | Rejected | NotAccepted | Unanswered | NotSent


@dataclass(frozen=True, slots=True)
class Submitted:
    """The answer to one submission."""

    token: str
    answer: SubmitAnswer


@dataclass(frozen=True, slots=True)
class ThreadFree:
    """All jobs of a Submit command were answered."""

    backend: str
    seconds: float
    """How long it took."""
    jobs: int


@dataclass(frozen=True, slots=True)
class Looked:
    """The answer to Find."""

    backend: str
    token: str
    answer: FindAnswer


@dataclass(frozen=True, slots=True)
class Polled:
    """The observations by token, and the actions that the ledger has for those that are gone.

    With ``error`` the rest of the poll failed, and ``seen`` has what was polled before.
    """

    backend: str
    seen: Mapping[str, Observation]
    actions: Mapping[str, OwnAction] = field(default_factory=dict)
    error: str = ""
    throttled: bool = False


@dataclass(frozen=True, slots=True)
class Listed:
    """The live jobs of the run that the cluster lists."""

    backend: str
    handles: Mapping[str, Handle]


@dataclass(frozen=True, slots=True)
class CallFailed:
    """Find or ListJobs got no usable answer."""

    backend: str
    error: str
    throttled: bool = False
    token: str | None = None
    """Of Find."""


@dataclass(frozen=True, slots=True)
class LogsRead:
    """What was read of a job's logs."""

    backend: str
    token: str
    seen: Observation
    """With the ranks' reports."""
    logs: Mapping[int, LogChunk] = field(default_factory=dict)
    missing: bool = False
    """Whether a log that was asked for could not be read to its end."""
    error: str = ""
    """The API's last error, if a read had no usable answer."""
    excerpts: Mapping[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class CancelAnswered:
    """The cluster was asked to end these jobs; ``error`` if it did not answer."""

    backend: str
    tokens: Sequence[str]
    error: str = ""
    throttled: bool = False


@dataclass(frozen=True, slots=True)
class Prepared:
    """The hooks have decided on the spec."""

    token: str
    spec: JobSpec


@dataclass(frozen=True, slots=True)
class SubmissionVetoed:
    """The hooks do not want the attempt to be submitted."""

    token: str
    why: str
    ruling: Ruling | None


@dataclass(frozen=True, slots=True)
class HooksAnswered:
    """The verdict, with the remarks of the hooks."""

    token: str
    result: Result


# Events: requests, and news.


@dataclass(frozen=True, slots=True)
class CellsAdded:
    """Cells that are registered. They are submitted unless a reason why not is known by key."""

    cells: Sequence[Registration]
    refused: Mapping[str, str] = field(default_factory=dict)
    """Why this run does not submit them."""
    rejected: Mapping[str, str] = field(default_factory=dict)
    """Why the cluster would reject them."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """Cells that another process began, with their results and attempts by key."""

    cells: Sequence[Registration]
    results: Mapping[str, Result]
    attempts: Mapping[str, Sequence[Attempt]]
    refused: Mapping[str, str] = field(default_factory=dict)
    rejected: Mapping[str, str] = field(default_factory=dict)
    replaced: Mapping[str, int] = field(default_factory=dict)
    """By key, the highest number of an attempt whose token an earlier session may still use."""
    incomplete: bool = False
    """Whether an earlier session may have cancelled jobs without a record."""


@dataclass(frozen=True, slots=True)
class CancelCells:
    """Cancel some cells' jobs. Those that are not submitted yet never will be."""

    keys: Sequence[str]
    why: str


@dataclass(frozen=True, slots=True)
class Stop:
    """Submit nothing more, and cancel every job."""


@dataclass(frozen=True, slots=True)
class Detach:
    """Submit nothing more, and leave every job running."""


@dataclass(frozen=True, slots=True)
class SubmitterGone:
    """No other process submits jobs of this run any more."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Judge the jobs that were cancelled: no session is left that could."""


@dataclass(frozen=True, slots=True)
class News:
    """The backend reports that these jobs should be polled now."""

    backend: str
    tokens: Sequence[str]


@dataclass(frozen=True, slots=True)
class Tick:
    """The time that ``Core.wake_at`` named has come."""


AnyEvent = (
    Committed
    | CommitFailed
    | LedgerRead
    | SessionSuperseded
    | Opened
    | OpenFailed
    | Submitted
    | ThreadFree
    | Looked
    | Polled
    | Listed
    | CallFailed
    | LogsRead
    | CancelAnswered
    | Prepared
    | SubmissionVetoed
    | HooksAnswered
    | CellsAdded
    | Resumed
    | CancelCells
    | Stop
    | Detach
    | SubmitterGone
    | Settle
    | News
    | Tick
)
