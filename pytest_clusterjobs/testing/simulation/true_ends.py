"""How the ranks of a start decide the end of a job, written apart from the judge.

The order is that of the design: what the cluster did, then limits, then the first failing rank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...model import Reason
from ...model import SentinelWord
from .rank_run import RankRun
from .truth import TrueEnd

if TYPE_CHECKING:
    from .jobs import TrueJob

_LIMITS = (SentinelWord.HEARTBEAT_TIMEOUT, SentinelWord.MAX_RUNTIME_REACHED)
_TERM_CODE = 143
COINCIDENCE_SECONDS = 1.0
"""How much further apart than a grace period the ends of two limits may be that struck together."""


def end_of_start(job: TrueJob, cause: str) -> TrueEnd:
    """How the last start of a job ended, or a job that never started. ``cause``: see :class:`TrueJob`."""
    ranks = job.ranks
    begun = any(rank.begun is not None for rank in ranks)
    is_unreported = any(rank.ended is not None and (rank.is_false or rank.word is None) for rank in ranks)
    if cause == Reason.UNKNOWN or (not cause and is_unreported):
        reason, code, by, also, other = _after_a_kill(ranks)
    else:
        other = None
        reason, code, by = _decide(ranks, cause, begun, job.by)
        also = _also(job, reason) if by in ("limit", "itself") else ()
    return TrueEnd(
        reason=str(reason),
        exit_code=code,
        restarts=job.restarts,
        heartbeats=ranks[0].beats if ranks else 0,
        begun=bool(ranks) and ranks[0].begun is not None,
        at=job.cluster.world.now if job.ended_at is None else job.ended_at,
        by=by,
        also=also,
        other_code=other,
    )


def _after_a_kill(ranks: list[RankRun]) -> tuple[str, int | None, str, tuple[str, ...], int | None]:
    """A rank whose sentinel was killed has no word, or a false one: an error, unless another failed before.

    If another failed after it, the design does not say which of the two counts; but it never completed.
    """
    killed = next(rank for rank in ranks if rank.word is None or rank.is_false)
    nothing = str(Reason.START_FAILED if killed.begun is None else Reason.UNKNOWN)
    others = [rank for rank in ranks if rank.exit_code and rank is not killed and not rank.dismissed]
    own = [rank for rank in others if rank.word not in (None, SentinelWord.STOPPED) and not rank.is_false]
    if not own:
        # A rank that was stopped has no cause that is reported anywhere.
        return nothing, None, "other", (str(Reason.UNKNOWN),) if nothing != Reason.UNKNOWN else (), None
    reason, code, by = _decide(own, "", True, "itself")
    if (min(own, key=_by_end).ended or 0.0) <= (killed.ended or 0.0):
        return str(reason), code, by, (nothing, str(Reason.UNKNOWN)), None
    return nothing, None, "other", (str(reason), str(Reason.UNKNOWN)), code


def _also(job: TrueJob, reason: str) -> tuple[str, ...]:
    """What the design permits besides: which of two limits of one grace period was first is unknown.

    A rank that died of a TERM of its own looks like one that was stopped.
    """
    limited = [rank for rank in job.ranks if rank.word in _LIMITS]
    if limited:
        first = min(rank.ended or 0.0 for rank in limited)
        window = first + job.spec.grace_period + COINCIDENCE_SECONDS
        names = [_limit_reason(rank) for rank in limited if (rank.ended or 0.0) <= window]
        return tuple(dict.fromkeys(name for name in names if name != reason))
    stopped = any(rank.word is SentinelWord.STOPPED for rank in job.ranks)
    if stopped and any(
        rank.exit_code == _TERM_CODE and rank.word is not SentinelWord.STOPPED for rank in job.ranks
    ):
        return (str(Reason.UNKNOWN),)
    return ()


def own_reason(rank: RankRun) -> str:
    """Why a rank failed by itself or was limited; empty for a rank that did neither."""
    if rank.is_false:
        return ""
    if rank.word in _LIMITS:
        return _limit_reason(rank)
    if rank.word is SentinelWord.START_FAILED:
        return str(Reason.START_FAILED)
    if rank.word is not SentinelWord.EXITED or not rank.exit_code:
        return ""
    return str(Reason.KILLED_BY_SIGNAL if 129 <= rank.exit_code <= 192 else Reason.JOB_FAILED)


def _limit_reason(rank: RankRun) -> str:
    return str(Reason.START_FAILED if rank.begun is None else rank.word)


def _decide(ranks: list[RankRun], cause: str, begun: bool, by: str) -> tuple[str, int | None, str]:
    if cause == Reason.OUT_OF_MEMORY and not begun:
        return Reason.START_FAILED, None, by
    if cause:
        return cause, None, by
    limited = [rank for rank in ranks if rank.word in _LIMITS]
    if limited:
        return _limit_reason(min(limited, key=_by_end)), None, "limit"
    failed = [rank for rank in ranks if rank.exit_code and rank.word is not SentinelWord.STOPPED]
    if failed:
        first = min(failed, key=_by_end)
        code = first.exit_code if first.word is SentinelWord.EXITED else None
        return own_reason(first), code, "itself"
    if all(rank.exit_code == 0 or rank.dismissed for rank in ranks):
        return Reason.JOB_COMPLETED, 0, "itself"
    # Only a cancel by this run that does not count leaves stopped ranks without a cause.
    return Reason.UNKNOWN, None, by


def _by_end(rank: RankRun) -> tuple[float, bool, int]:
    return (rank.ended or 0.0, rank.exit_code == _TERM_CODE, rank.rank)
