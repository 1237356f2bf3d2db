"""Words of schedulers, clouds and other tools for how a job ends, and the reason for each."""

from __future__ import annotations

import re
from collections.abc import Collection
from collections.abc import Mapping

from ..model import Reason
from ..model.text import did_you_mean
from ..model.text import quoted

_SYNONYMS: Mapping[Reason, str] = {
    Reason.JOB_COMPLETED: "complete completed done finished green normal normal_completion ok pass passed "
    "succeed succeeded success successful zero",
    Reason.JOB_FAILED: "bad_exit crash crashed cuda_error cuda_oom err error errored exception exit_nonzero fail failed "
    "failure job_error nonzero nonzero_exit panic red script_failed traceback",
    Reason.KILLED_BY_SIGNAL: "abort aborted bus_error core_dump core_dumped kill killed segfault segmentation_fault segv "
    "sigabrt sigbus sigfpe sigill sigint sigkill signal signaled signalled sigsegv sigterm sigusr1 sigusr2 terminated",
    Reason.HEARTBEAT_TIMEOUT: "deadlock deadlocked freeze frozen hang hanging heartbeat heartbeat_lost hung idle "
    "inactive inactivity livelock no_heartbeat no_output no_progress stall stalled stuck unresponsive watchdog",
    Reason.MAX_RUNTIME_REACHED: "deadline deadline_exceeded limit max_runtime out_of_time runtime_limit time_exceeded "
    "time_limit time_out timed_out timelimit timeout wall_time walltime walltime_exceeded",
    Reason.OUT_OF_MEMORY: "mem memory memory_exceeded memory_limit oom oom_kill oom_killed oomkill oomkilled oom_killer",
    Reason.CANCELLED: "cancel canceled cancellation revoked scancel stopped user_cancelled",
    Reason.REJECTED: "bad_request denied forbidden invalid not_submitted refused submit_failed submission_failed",
    Reason.QUEUE_TIMEOUT: "never_started not_started pending queue queued waiting",
    Reason.START_FAILED: "boot_fail boot_failed image_pull image_pull_failed imagepullbackoff launch_failed prolog "
    "prolog_failed setup setup_failed startup_failed",
    Reason.PREEMPTED: "evicted eviction interrupted preempt preemption reclaimed requeued spot spot_interruption "
    "spot_reclaimed spot_terminated",
    Reason.NODE_FAILED: "hardware host_failed host_lost node node_down node_fail node_failure node_lost",
    Reason.DEPENDENCY_FAILED: "dependency dependency_never_satisfied upstream_failed",
    Reason.LOST: "disappeared gone missing vanished",
    Reason.UNKNOWN: "other undefined unclear",
}
_REASONS = {word: reason for reason, words in _SYNONYMS.items() for word in words.split()}

_NONZERO_WORDS = frozenset({"nonzero", "notzero", "!=0", "!0", "<>0", ">0", ">=1", "nz"})


def reason_for(word: str) -> str | None:
    """The built-in reason for a word, ignoring case and dashes."""
    normalized = re.sub(r"[\s-]+", "_", word.strip().lower())
    return str(Reason(normalized)) if normalized in set(Reason) else _REASONS.get(normalized)


def is_nonzero_word(word: str) -> bool:
    """Whether a word means any exit code but 0."""
    return re.sub(r"[\s_-]+", "", word.lower()) in _NONZERO_WORDS


def unknown_reason(word: str, known: Collection[str]) -> str:
    """The message for an unknown reason. It suggests the nearest spelling only for a misspelling."""
    reason = reason_for(word)
    hint = f": write {reason}" if reason is not None else did_you_mean(word, known, cutoff=0.8)
    return f"unknown reason {quoted(word)}{hint}"
