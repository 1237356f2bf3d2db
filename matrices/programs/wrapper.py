"""Plays the launch wrapper that a team already has, down to its exit code: 0, whatever happened.

It runs a command, enforces limits of its own, starts the command again after a failure, and prints after each
start what came of it, coloured and with the rank in front, as clusters show it::

    (head, rank=0, pid=12) [SUMMARY] Restart Count: 1
    (head, rank=0, pid=12) [SUMMARY] Exit code: 0
    (head, rank=0, pid=12) [SUMMARY] Termination reason: heartbeat_timeout

``WRAPPER_HEARTBEAT_TIMEOUT`` and ``WRAPPER_MAX_RUNTIME`` are seconds, and off unless set; ``WRAPPER_MAX_RESTARTS``
is 0 unless set.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from job import Job

LOOK = 0.1
"""Seconds between two looks at the command and its heartbeat."""
GRACE = 2.0
"""Seconds between TERM and KILL."""


def main(command: list[str]) -> int:
    """Run ``command`` to its last end; the exit code says nothing about it."""
    if not command:
        raise SystemExit("wrapper: a command is needed")
    job = Job(os.environ)
    for start in range(int(limit("MAX_RESTARTS", 0)) + 1):
        restarts = job.restarts + start
        reason, code = attend(command, restarts)
        summary(job, reason, code, restarts)
        if reason != "unknown":
            break
    say(job, "[INFO] Will exit with code 0, so that the cluster does not start the job again")
    return 0


def attend(command: list[str], restarts: int) -> tuple[str, int]:
    """Run the command once, within the limits; give the wrapper's word for its end, and a code."""
    process = subprocess.Popen(command, env={**os.environ, "CLUSTERJOBS_RESTARTS": str(restarts)})
    begin = last_beat = time.monotonic()
    touched = heartbeat()
    while process.poll() is None:
        time.sleep(LOOK)
        now = time.monotonic()
        if heartbeat() != touched:
            touched, last_beat = heartbeat(), now
        for reason, since, seconds in (
            ("max_runtime_reached", begin, limit("MAX_RUNTIME", float("inf"))),
            ("heartbeat_timeout", last_beat, limit("HEARTBEAT_TIMEOUT", float("inf"))),
        ):
            if now - since > seconds and process.poll() is None:
                stop(process)
                return reason, 0
    code = process.returncode
    return ("unknown" if code else "job_completed"), (code if code >= 0 else 128 - code)


def limit(name: str, default: float) -> float:
    """The limit of this name in the environment."""
    return float(os.environ.get(f"WRAPPER_{name}", default))


def heartbeat() -> int:
    """When the command last said that it is alive, by the clock of its file; 0 before that."""
    try:
        return os.stat(os.environ.get("CLUSTERJOBS_HEARTBEAT_FILE", "")).st_mtime_ns
    except FileNotFoundError:
        return 0


def stop(process: subprocess.Popen[bytes]) -> None:
    """End the command, the hard way if need be."""
    process.terminate()
    try:
        process.wait(GRACE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def summary(job: Job, reason: str, code: int, restarts: int) -> None:
    """Say what came of one start."""
    say(job, "[SUMMARY] ===== Job Summary =====")
    say(job, f"[SUMMARY] Restart Count: {restarts}")
    say(job, f"[SUMMARY] Exit code: {code}")
    say(job, f"[SUMMARY] Termination reason: {reason}")


def say(job: Job, text: str) -> None:
    """Print a line the way it comes out of a cluster's log: in colours, with the rank, ended by CR LF."""
    if job.rank == 0:
        rank = f"(head, rank=0, pid={os.getpid()})"
    else:
        rank = f"(worker{job.rank}, rank={job.rank}, pid={os.getpid()}, ip=10.0.0.{job.rank % 256})"
    print(f"\x1b[36m{rank}\x1b[0m \x1b[1m{text}\x1b[0m", end="\r\n", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
