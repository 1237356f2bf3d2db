"""Runs a scheduler's commands: in a clean environment, with a timeout, their errors read and classified."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from ...model.paths import to_bytes
from ..environment import inherited
from ..protocol import BackendError
from ..protocol import SubmissionRejected
from ..protocol import Throttled

COMMAND_TIMEOUT_SECONDS = 60.0
"""A scheduler's own timeout for a server that does not answer is usually shorter."""

MAX_MESSAGE_CHARACTERS = 500
"""Characters of a command's output that a message keeps."""

_NEVER = re.compile(r"(?!)")


class SubmissionInterrupted(BackendError):
    """The submit command ended while it waited for the scheduler: most likely the job was not accepted."""


class NoAccounting(BackendError):
    """The cluster keeps no accounting, so that it has no data on jobs that have left the queue."""


@dataclass(frozen=True, slots=True)
class CommandRunner:
    """Runs the commands of one scheduler."""

    scheduler: str
    """Its name in messages."""
    temporary: re.Pattern[str] = _NEVER
    """Matches the submit command's errors that pass when other jobs have ended: the job was not accepted."""
    unanswered: re.Pattern[str] = _NEVER
    """Matches the submit command's errors after which the job may have been accepted, or not."""
    own_variables: tuple[str, ...] = ()
    """Prefixes of the scheduler's own variables, which would make a new job depend on the caller's job."""
    kept_variables: frozenset[str] = frozenset()
    """Those of the scheduler's own variables that its commands need, for example to find the cluster."""
    status_variables: Mapping[str, str] | None = None
    """Further variables for commands other than the submit command."""

    def environment(self, secrets: Iterable[str] = ()) -> dict[str, str]:
        """The part of this process's environment that a job may inherit, without the variables ``secrets``.

        It contains nothing from the caller's own job or the caller's defaults that would change the new
        job.
        """
        hidden = set(secrets)
        return {
            name: value
            for name, value in inherited(os.environ).items()
            if name not in hidden and (name in self.kept_variables or not name.startswith(self.own_variables))
        }

    def submit(
        self,
        command: Sequence[str],
        *,
        secrets: Iterable[str],
        folder: Path,
        job_id_of: Callable[[str], str | None],
    ) -> str:
        """Run a submit command in ``folder``; returns the id of the job.

        ``job_id_of`` finds the id in what the command prints. Raises SubmissionRejected, Throttled if the
        job is rejected for now, SubmissionInterrupted, BackendError if the answer is lost.
        """
        program = command[0]
        if shutil.which(program) is None:
            raise self._missing(program)
        done = self._run(command, self.environment(secrets), folder, _end_with_this_process())
        job_id = job_id_of(done.stdout) if done.returncode == 0 else None
        if job_id is not None:
            return job_id
        message = message_of(program, done.stderr or done.stdout)
        if done.returncode < 0 and self.temporary.search(message):
            raise SubmissionInterrupted(message)
        # The last of several tries may have been lost, whatever the answers to those before it.
        is_unclear = (
            done.returncode <= 0 or self.unanswered.search(message) or message.startswith("setpriv: ")
        )
        if is_unclear or not message:
            raise BackendError(message or f"{program} ended with {done.returncode} and printed no message")
        if self.temporary.search(message):
            raise Throttled(message)
        raise SubmissionRejected(message)

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a status or cancel command, whatever its exit code; the language is C, the zone UTC.

        Raises BackendError if it cannot be run, or gives no answer in time.
        """
        env = {**self.environment(), "LC_ALL": "C", "TZ": "UTC", **(self.status_variables or {})}
        return self._run(command, env)

    def read(self, *command: str) -> list[str]:
        """The lines that a status command prints. Raises BackendError if it fails."""
        done = self.run(*command)
        if done.returncode != 0:
            raise BackendError(f"{command[0]}: {message_of(command[0], done.stderr)}")
        return done.stdout.splitlines()

    def _run(
        self,
        command: Sequence[str],
        env: Mapping[str, str],
        folder: Path = Path("/"),
        prefix: Sequence[str] = (),
    ) -> subprocess.CompletedProcess[str]:
        program = command[0]
        try:
            return subprocess.run(
                [to_bytes(word) for word in (*prefix, *command)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                env={to_bytes(name): to_bytes(value) for name, value in env.items()},
                cwd=folder,
                timeout=COMMAND_TIMEOUT_SECONDS,
                encoding="utf-8",
                errors="replace",
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            stderr = error.stderr.decode(errors="replace") if isinstance(error.stderr, bytes) else ""
            message = message_of(program, stderr)
            if self.temporary.search(message):
                raise SubmissionInterrupted(message) from None
            text = f"{program} gave no answer in {COMMAND_TIMEOUT_SECONDS:.0f} s"
            raise BackendError(f"{text}: {message}" if message else text) from None
        except FileNotFoundError:
            raise self._missing(program) from None
        except OSError as error:
            raise BackendError(f"{program}: {error.strerror}") from None

    def _missing(self, program: str) -> BackendError:
        return BackendError(
            f"{program} is not on PATH: run this on a machine that has {self.scheduler}'s commands"
        )


def message_of(program: str, text: str) -> str:
    """A program's message, without the program's own name, on one line."""
    lines = (re.sub(rf"^{re.escape(program)}: (?:error: )?", "", line) for line in text.splitlines())
    return "; ".join(line.strip() for line in lines if line.strip())[:MAX_MESSAGE_CHARACTERS]


@cache
def _end_with_this_process() -> Sequence[str]:
    """A prefix that makes a command end with this process, if util-linux supports it (2.33 and later).

    Otherwise a submit command that waits for the scheduler to accept its job continues for minutes, and
    its job is untracked.
    """
    prefix = (shutil.which("setpriv") or "", "--pdeathsig", "KILL", "--")
    try:
        tried = subprocess.run([*prefix, "true"], stdin=subprocess.DEVNULL, capture_output=True, check=False)
    except OSError:
        return ()
    return prefix if tried.returncode == 0 else ()
