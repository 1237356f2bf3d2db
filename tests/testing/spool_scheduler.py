"""A batch system in a folder, with the three commands that every scheduler has.

``python -S spool_scheduler.py submit NAME OUTPUT SCRIPT`` prints ``Job <7> is submitted``; ``list`` prints
one job a line; ``cancel ID ...`` ends jobs. The folder is ``SPOOL_DIR``; it has ``SPOOL_SLOTS`` slots, and a
job waits until one is free.
"""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

SPOOL = Path(os.environ["SPOOL_DIR"])
KILL_AFTER_SECONDS = 20.0


def submit(name: str, output: str, script: str) -> None:
    job = _new_job()
    (job / "name").write_text(name)
    if os.fork() == 0:
        os.setsid()
        _detach(output)
        if os.fork() == 0:
            _supervise(job, script)
        os._exit(0)
    print(f"Job <{job.name}> is submitted")


def list_jobs() -> None:
    for name in SPOOL.glob("*/name"):
        job = name.parent
        started, ended = _time(job / "started"), _time(job / "code")
        state = "R" if started else "Q"
        if ended:
            state = "X" if (job / "cancelled").exists() else "C"
        code = (job / "code").read_text() if ended else ""
        print(job.name, state, code, _time(name), started, ended, name.read_text(), sep="|")


def cancel(*job_ids: str) -> None:
    for job_id in job_ids:
        if not (SPOOL / job_id / "code").exists():
            (SPOOL / job_id / "cancelled").touch()


def _new_job() -> Path:
    with open(SPOOL / "last", "a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        number = int(file.read() or 0) + 1
        file.truncate(0)
        file.write(str(number))
    job = SPOOL / str(number)
    job.mkdir()
    return job


def _detach(output: str) -> None:
    log = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, target in ((nothing, 0), (log, 1), (log, 2)):
        os.dup2(source, target)
    os.chdir("/")


def _supervise(job: Path, script: str) -> None:
    slot = _free_slot(job)
    code = 143
    if slot is not None:
        (job / "started").touch()
        environment = {**os.environ, "SPOOL_JOB": job.name}
        interpreter = Path(script).read_text(errors="replace").partition("\n")[0].removeprefix("#!").split()
        child = subprocess.Popen([*interpreter, script], env=environment, start_new_session=True)
        code = _code_of(job, child)
    draft = job / "draft"
    draft.write_text(str(code if code >= 0 else 128 - code))
    draft.rename(job / "code")


def _free_slot(job: Path) -> int | None:
    """A locked slot; ``None`` if the job is cancelled before one is free."""
    while not (job / "cancelled").exists():
        for number in range(int(os.environ["SPOOL_SLOTS"])):
            slot = os.open(SPOOL / f"slot.{number}", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(slot)
            else:
                return slot
        time.sleep(0.1)
    return None


def _code_of(job: Path, child: subprocess.Popen[bytes]) -> int:
    terminated: float | None = None
    while True:
        try:
            return child.wait(0.05)
        except subprocess.TimeoutExpired:
            if terminated is None and (job / "cancelled").exists():
                child.send_signal(signal.SIGTERM)
                terminated = time.monotonic()
            elif terminated is not None and time.monotonic() - terminated > KILL_AFTER_SECONDS:
                os.killpg(child.pid, signal.SIGKILL)


def _time(path: Path) -> int:
    return int(path.stat().st_mtime) if path.exists() else 0


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["submit", name, output, script]:
            submit(name, output, script)
        case ["list"]:
            list_jobs()
        case ["cancel", *job_ids]:
            cancel(*job_ids)
        case _:
            sys.exit(__doc__)
