"""A stand-in for an existing launch wrapper, which always exits with 0.

It runs a command, enforces its own limits, and starts the command again after a failure. After each start it
prints a summary, with colours and a rank prefix, as in the logs of clusters::

    (head, rank=0, pid=12) [SUMMARY] Restart Count: 1
    (head, rank=0, pid=12) [SUMMARY] Exit code: 0
    (head, rank=0, pid=12) [SUMMARY] Termination reason: heartbeat_timeout

``WRAPPER_HEARTBEAT_TIMEOUT`` and ``WRAPPER_MAX_RUNTIME`` are in seconds, and off by default. The default of
``WRAPPER_MAX_RESTARTS`` is 0.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time

from job import Job

CHECK_SECONDS = 0.1
"""The time between two checks of the command and its heartbeat."""
GRACE_SECONDS = 2.0
"""The time between TERM and KILL."""


def main(command: list[str]) -> int:
    """Run ``command`` with its restarts; the exit code is always 0."""
    if not command:
        raise SystemExit("wrapper: no command given")
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
    """Run the command once, within the limits; returns the wrapper's reason and the exit code."""
    process = subprocess.Popen(command, env={**os.environ, "CLUSTERJOBS_RESTARTS": str(restarts)})
    begin = last_heartbeat = time.monotonic()
    touched = heartbeat()
    while process.poll() is None:
        time.sleep(CHECK_SECONDS)
        now = time.monotonic()
        if heartbeat() != touched:
            touched, last_heartbeat = heartbeat(), now
        for reason, since, seconds in (
            ("max_runtime_reached", begin, limit("MAX_RUNTIME", float("inf"))),
            ("heartbeat_timeout", last_heartbeat, limit("HEARTBEAT_TIMEOUT", float("inf"))),
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
    """The time of the command's last heartbeat in nanoseconds; 0 before the first."""
    try:
        return os.stat(os.environ.get("CLUSTERJOBS_HEARTBEAT_FILE", "")).st_mtime_ns
    except FileNotFoundError:
        return 0


def stop(process: subprocess.Popen[bytes]) -> None:
    """Stop the command, with KILL if necessary."""
    process.terminate()
    try:
        process.wait(GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def summary(job: Job, reason: str, code: int, restarts: int) -> None:
    """Print the summary of one start."""
    say(job, "[SUMMARY] ===== Job Summary =====")
    say(job, f"[SUMMARY] Restart Count: {restarts}")
    say(job, f"[SUMMARY] Exit code: {code}")
    say(job, f"[SUMMARY] Termination reason: {reason}")


def say(job: Job, text: str) -> None:
    """Print a line as in a cluster's log: with colours and the rank, ended by CR LF."""
    if job.rank == 0:
        rank = f"(head, rank=0, pid={os.getpid()})"
    else:
        rank = f"(worker{job.rank}, rank={job.rank}, pid={os.getpid()}, ip=10.0.0.{job.rank % 256})"
    print(f"\x1b[36m{rank}\x1b[0m \x1b[1m{text}\x1b[0m", end="\r\n", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
