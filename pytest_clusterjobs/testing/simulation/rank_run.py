"""One rank in one start of a job: the sentinel's rules, the command and the log."""

from __future__ import annotations

from collections.abc import Callable

from ...backends import sentinel
from ...model import JobSpec
from ...model import SentinelReport
from ...model import SentinelWord
from ...model.token import nonce
from .behaviour import RankBehaviour
from .world import Timer
from .world import World

TERM_SECONDS = 0.05
"""How long a command takes to end after TERM."""
BEATS_PER_TIMEOUT = 4
"""A command that is alive touches the heartbeat file so often in each heartbeat_timeout."""
SETUP_FAILED_CODE = 1
_LIMIT_CODE = 124
_STOPPED_CODE = 143


class RankRun:
    """A sentinel and its command. The time of a suspension does not count for either."""

    __slots__ = (
        "_at",
        "_heartbeat",
        "_limits",
        "_max_runtime",
        "_next",
        "_over",
        "_paused_since",
        "_restarts",
        "_timer",
        "_token",
        "_world",
        "beats",
        "begun",
        "behaviour",
        "dismissed",
        "ended",
        "exit_code",
        "grace",
        "is_false",
        "lines",
        "log",
        "paused",
        "rank",
        "report",
        "started",
        "word",
    )

    def __init__(
        self,
        world: World,
        spec: JobSpec,
        token: str,
        rank: int,
        restarts: int,
        behaviour: RankBehaviour,
        lines: list[str],
        over: Callable[[RankRun], None],
    ) -> None:
        self.rank = rank
        self.behaviour = behaviour
        self.lines = lines
        self.started = world.now
        self.begun: float | None = None
        """Seconds from the start to the begin of the command."""
        self.word: SentinelWord | None = None
        """Why the sentinel stops the command, or how the rank ended."""
        self.ended: float | None = None
        """World time."""
        self.exit_code: int | None = None
        """What the cluster sees of the sentinel; ``None`` if it sees nothing."""
        self.report: SentinelReport | None = None
        self.beats = 0
        self.dismissed = False
        """Whether the cluster stopped it because rank 0 had ended cleanly."""
        self.is_false = False
        """Whether its word is a limit that was not over."""
        self.paused = 0.0
        self.grace = spec.grace_period
        self.log: list[tuple[float, str]] = []
        """World times and what was printed then."""
        self._world = world
        self._token = token
        self._restarts = restarts
        self._heartbeat = spec.heartbeat_timeout if rank == 0 else None
        self._max_runtime = spec.max_runtime
        self._limits = (spec.max_runtime, spec.heartbeat_timeout)
        self._over = over
        self._paused_since: float | None = None
        self._timer: Timer | None = None
        self._at = 0.0
        self._next: Callable[[], None] = self._setup_over
        if behaviour.setup_seconds >= self._max_runtime:
            self._plan(self._max_runtime, self._runtime_limit)
        elif behaviour.setup_seconds > 0.0:
            self._plan(behaviour.setup_seconds, self._setup_over)
        else:
            # Not at once: the other ranks of the job start first.
            self._plan(0.0, self._setup_over)

    @property
    def is_live(self) -> bool:
        """Whether it has not ended."""
        return self.ended is None

    @property
    def failed(self) -> bool:
        """Whether it has ended and counts as a failure for the cluster."""
        return self.ended is not None and self.exit_code != 0 and not self.dismissed

    def seconds(self) -> float:
        """Seconds since its start in which it could run."""
        now = self._world.now if self._paused_since is None else self._paused_since
        return now - self.started - self.paused

    def stopped_for(self) -> float:
        """Seconds since it was suspended; 0 if it is not."""
        since = self._paused_since
        return 0.0 if since is None or self.ended is not None else self._world.now - since

    def suspend(self) -> None:
        """Freeze it."""
        if self.ended is None and self._paused_since is None:
            self._paused_since = self._world.now
            if self._timer is not None:
                self._timer.cancel()

    def resume(self) -> None:
        """Continue it."""
        if self._paused_since is not None:
            self.paused += self._world.now - self._paused_since
            self._paused_since = None
            if self.ended is None:
                self._plan(self._at, self._next)

    def term(self) -> bool:
        """Send TERM to the sentinel; false if it was stopping already or has ended."""
        if self.ended is not None or self.word is not None:
            return False
        self._stop(SentinelWord.STOPPED)
        return True

    def report_falsely(self, word: SentinelWord) -> bool:
        """Stop as if a limit were over. Returns false if the report could be right."""
        runtime, heartbeat = self._limits
        limit = runtime if word is SentinelWord.MAX_RUNTIME_REACHED else heartbeat
        is_own = word is SentinelWord.MAX_RUNTIME_REACHED or self.rank == 0
        wait = self.grace if self.behaviour.ignores_term else 0.0
        longest = self._world.now - self.started + wait + 3.0
        if self.begun is None or (is_own and limit is not None and longest >= 0.8 * limit):
            return False
        self.is_false = True
        self._stop(word)
        return True

    def kill(self, code: int | None) -> None:
        """End the sentinel and its command at once: there is no report. ``code`` is what the cluster sees."""
        if self.ended is None:
            self._count_beats()
            self._end(None, code)

    def out_of_memory(self, *, whole_node: bool) -> None:
        """Kill the command, or the sentinel too, for memory."""
        if self.ended is not None:
            return
        self._count_beats()
        if whole_node:
            self._end(None, 137)
        elif self.word is None:
            word = SentinelWord.START_FAILED if self.begun is None else SentinelWord.EXITED
            self._end(word, 137, 137)

    def mark_of_begin(self) -> bool:
        """Whether its log has the mark that the command began."""
        return self.begun is not None

    def text(self) -> str:
        """What it has printed so far."""
        return "".join([text for _, text in self.log])

    def _plan(self, seconds: float, then: Callable[[], None]) -> None:
        self._at, self._next = seconds, then
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._world.at(self.started + self.paused + seconds, then)

    def _setup_over(self) -> None:
        if self.behaviour.setup_fails:
            self._end(SentinelWord.START_FAILED, SETUP_FAILED_CODE, SETUP_FAILED_CODE)
            return
        setup = self.begun = self.behaviour.setup_seconds
        mark = f"\n{begin_mark(self._token, self.rank, self._restarts)}\n"
        self._print(mark + "".join([f"{line}\n" for line in self.lines]))
        run, best, then = self.behaviour.run_seconds, self._max_runtime, self._runtime_limit
        if self._heartbeat is not None:
            silent = setup + (self.behaviour.beats_until or 0.0) + self._heartbeat
            if silent < best:
                best, then = silent, self._heartbeat_limit
        if run is not None and setup + run <= best:
            best, then = setup + run, self._command_over
        self._plan(best, then)

    def _command_over(self) -> None:
        self._count_beats()
        self._end(SentinelWord.EXITED, self.behaviour.exit_code, self.behaviour.exit_code)

    def _runtime_limit(self) -> None:
        self._stop(SentinelWord.MAX_RUNTIME_REACHED)

    def _heartbeat_limit(self) -> None:
        self._stop(SentinelWord.HEARTBEAT_TIMEOUT)

    def _stop(self, word: SentinelWord) -> None:
        self._count_beats()
        self.word = word
        code = _STOPPED_CODE if word is SentinelWord.STOPPED else _LIMIT_CODE
        wait = self.grace if self.behaviour.ignores_term else min(TERM_SECONDS, self.grace)
        self._plan(self.seconds() + wait, lambda: self._end(word, code))

    def _count_beats(self) -> None:
        """The heartbeats until now, or until the sentinel began to stop the command."""
        if self.begun is None or self._heartbeat is None or self.word is not None:
            return
        until = self.behaviour.beats_until
        if until is not None:
            beating = min(until, self.seconds() - self.begun)
            self.beats = 1 + int(beating / (self._heartbeat / BEATS_PER_TIMEOUT))

    def _end(self, word: SentinelWord | None, code: int | None, own_code: int | None = None) -> None:
        now = self._world.now
        if self._timer is not None:
            self._timer.cancel()
        self.word, self.exit_code, self.ended = word, code, now
        if word is not None:
            self.report = SentinelReport(
                word=word,
                node=self.rank,
                exit_code=own_code,
                restarts=self._restarts,
                heartbeats=self.beats,
                begun=self.begun is not None,
                seconds=round(now - self.started, 2),
            )
            self._print(f"\n{sentinel.report_line(self._token, self.report)}\n")
        self._over(self)

    def _print(self, text: str) -> None:
        self.log.append((self._world.now, text))


def begin_mark(token: str, rank: int, restarts: int) -> str:
    """The mark that a command began."""
    return f"[clusterjobs {nonce(token)} begun node={rank} restarts={restarts}]"
