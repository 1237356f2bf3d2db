"""The reaper: a process of its own session that ends a run's jobs when the run's owner dies.

``kill -9``, ``os._exit`` and a crash of the interpreter skip every hook of pytest. The reaper watches
the owner's pidfd, which the kernel makes readable at the owner's death, at whatever instant. It
imports nothing of ours until then.
"""

from __future__ import annotations

import contextlib
import os
import select
import socket
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ..backends.protocol import Backend
    from ..jobs import Handle
    from .ledger import Ledger
    from .records import Attempt

RELEASE = b"r"
"""The owner closed the run in order; nothing is left."""

CANCEL = b"c"
"""The owner leaves jobs whose cancellation takes long."""

PATIENCE = 900.0
"""Seconds for which a reaper insists on the end of jobs."""

PAUSE = 0.2
"""Seconds between two looks at jobs that are being cancelled, at first."""


class Reaper:
    """The owner's end."""

    def __init__(self, process: subprocess.Popen[bytes], line: socket.socket) -> None:
        self._process = process
        self._line = line

    def release(self, *, cancel: bool) -> None:
        """Let go: with ``cancel`` it ends what the ledger says is live, else it ends itself at once."""
        with contextlib.suppress(OSError):
            self._line.send(CANCEL if cancel else RELEASE)
        self._line.close()
        if not cancel:
            self._process.wait()
        else:
            # It is meant to outlive us; nobody waits for it any more.
            self._process.returncode = 0


def start_reaper(folder: Path) -> Reaper:
    """Start the reaper of the run in ``folder``."""
    ours, theirs = socket.socketpair()
    module = "pytest_clusterjobs.engine.reaper"
    command = [sys.executable, "-m", module, str(folder), str(theirs.fileno()), str(os.getpid())]
    with theirs, (folder / "reaper.log").open("ab") as log:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
            cwd="/",
        )
    return Reaper(process, ours)


def main(folder: str, descriptor: str, owner: str) -> None:
    """Wait for the owner's end or its word, then do what is left to do."""
    with socket.socket(fileno=int(descriptor)) as line:
        said = _last_word(line, int(owner))
    if said == RELEASE:
        return
    from .ledger import Ledger
    from .ledger import LedgerError

    ledger = Ledger(Path(folder, "ledger.sqlite"))
    if said != CANCEL:
        # What cannot be noted, on a full disk, is done all the same.
        with contextlib.suppress(LedgerError):
            ledger.set_meta(owner_died=time.time())
        if ledger.meta().get("on_crash") == "keep":
            return
    reap(ledger, Path(folder))


def _last_word(line: socket.socket, owner: int) -> bytes:
    """What the owner said before it let go; empty if it died without a word."""
    waiting: list[int] = [line.fileno()]
    try:
        # Children that the owner forked may hold its end of the socket; its pidfd is its own.
        waiting.append(os.pidfd_open(owner))
    except OSError:
        return b""
    if os.getppid() != owner:
        return b""
    select.select(waiting, [], [])
    try:
        return line.recv(1, socket.MSG_DONTWAIT)
    except OSError:
        return b""


def reap(ledger: Ledger, folder: Path) -> None:
    """Cancel every live job of a run, on every backend that it used."""
    from ..backends.registry import Site

    meta = ledger.meta()
    site = Site(backends=meta["backends"])
    rootdir = Path(meta["rootdir"])
    sys.path.extend([str(rootdir), *meta.get("path", [])])
    names = {entry.key: entry.cell.backend for _, entry in ledger.registrations()}
    by_backend: dict[str, list[Attempt]] = {}
    for attempt in ledger.attempts(live=True):
        by_backend.setdefault(names[attempt.key], []).append(attempt)
    for name, attempts in by_backend.items():
        try:
            backend = site.open(name, run_id=meta["run_id"], run_dir=folder, rootdir=rootdir)
            _reap_backend(backend, ledger, meta["run_id"], attempts)
            backend.close()
        except Exception:
            # The jobs of the other backends are not to pay for it.
            traceback.print_exc()


def _reap_backend(backend: Backend, ledger: Ledger, run_id: str, attempts: list[Attempt]) -> None:
    from ..jobs import ActionKind
    from ..jobs import OwnAction
    from .ledger import LedgerError

    why = "pytest ended before the job did; the reaper cancelled it"
    begin = time.monotonic()
    pause = PAUSE
    handles: dict[str, Handle] = {}
    while True:
        # What was submitted just now may not be listed yet: its absence proves nothing before that time.
        settled = time.monotonic() - begin >= backend.capabilities.find_settle
        try:
            handles = _handles(backend, run_id, attempts, handles)
            # What has ended by itself is not cancelled: a later session judges it.
            ended = _ended(backend, ledger, handles, settled=settled)
            handles = {token: handle for token, handle in handles.items() if token not in ended}
            attempts = [attempt for attempt in attempts if attempt.token not in ended]
            if settled and not attempts and not handles:
                return
            with contextlib.suppress(LedgerError):
                ledger.act(OwnAction(ActionKind.CANCEL, why, time.time()), handles)
            backend.cancel(handles)
        except Exception as error:
            # Whatever it is, of the cluster or of the adapter: the jobs are still there.
            print(f"asked again: {error!r}", flush=True)
        if time.monotonic() - begin > PATIENCE:
            print(f"gave up on {len(attempts)} jobs: {', '.join(a.token for a in attempts)}", flush=True)
            return
        time.sleep(pause)
        pause = min(pause * 1.5, 30.0)


def _handles(
    backend: Backend, run_id: str, attempts: list[Attempt], known: dict[str, Handle]
) -> dict[str, Handle]:
    """Handles of these attempts, asking the cluster for those whose submission was never recorded."""
    from ..backends.protocol import Found
    from ..backends.protocol import NotSubmitted

    handles = dict(backend.sweep(run_id))
    for attempt in list(attempts):
        handle = known.get(attempt.token) or attempt.handle or handles.get(attempt.token)
        if handle is None:
            answer = backend.find(attempt.token)
            if isinstance(answer, NotSubmitted):
                attempts.remove(attempt)
            handle = answer.handle if isinstance(answer, Found) else None
        if handle is not None:
            handles[attempt.token] = handle
    return handles


def _ended(backend: Backend, ledger: Ledger, handles: dict[str, Handle], *, settled: bool) -> set[str]:
    """The tokens whose jobs have ended; how is noted for a later look at the run."""
    from ..jobs import Phase
    from .ledger import LedgerError

    over = (Phase.ENDED, Phase.ABSENT) if settled else (Phase.ENDED,)
    try:
        seen = backend.poll(handles) if handles else {}
    except Exception as error:
        # A cluster that does not answer may still listen.
        print(f"asked again: {error!r}", flush=True)
        return set()
    ended = {token: o for token, o in seen.items() if o.phase in over}
    with contextlib.suppress(LedgerError):
        ledger.observe(time.time(), changed=[(token, o, None) for token, o in ended.items()])
    return set(ended)


if __name__ == "__main__":
    os.chdir("/")
    main(*sys.argv[1:])
