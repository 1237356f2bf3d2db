"""The training loop that all recipes share: options, steps, heartbeats, checkpoints, faults on demand."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any
from typing import Protocol

from group import Group
from group import PeerLost
from job import Job

EXIT_PEER_LOST = 75
"""EX_TEMPFAIL of sysexits.h: a temporary failure that this rank did not cause."""


class Model(Protocol):
    """A recipe's model; every rank calls the same methods in the same order."""

    def step(self, number: int) -> float:
        """Do step ``number``, counted from 1, and return the loss."""

    def state(self) -> Any:
        """The state for the checkpoint, which stores that of rank 0."""

    def restore(self, state: Any) -> None:
        """Continue from a state of rank 0."""

    def summary(self) -> str:
        """The results in one line."""


def options(name: str, description: str | None) -> argparse.Namespace:
    """Read the command line; exit with code 2 if it is invalid."""
    parser = argparse.ArgumentParser(prog=name, description=description, allow_abbrev=False)
    add = parser.add_argument
    add("--steps", type=int, default=30)
    add("--step-time", type=float, default=0.02, metavar="SECONDS", help="minimum duration of a step")
    add("--checkpoint-every", type=int, default=0, metavar="STEPS", help="0: no checkpoints")
    add("--join-timeout", type=float, default=120, metavar="SECONDS", help="time for all ranks to connect")
    add("--peer-timeout", type=float, default=120, metavar="SECONDS", help="time for a response of a rank")
    # The cluster should see the exit code of the failed rank first.
    add("--linger", type=float, default=2, metavar="SECONDS", help="wait before leaving if a peer is lost")
    faults = parser.add_argument_group("faults on demand").add_argument
    faults("--fail-at", type=int, metavar="STEP", help="exit in the middle of this step")
    faults("--exit-code", type=int, default=1, metavar="CODE", help="exit code of --fail-at")
    faults("--die-with", type=_signal, metavar="SIGNAL", help="signal of --fail-at instead, such as KILL")
    faults("--stall-after", type=int, metavar="STEP", help="hang after this step")
    faults("--fault-rank", type=int, default=-1, metavar="RANK", help="rank that fails (default: the last)")
    faults("--fail-on-restart", type=int, metavar="N", help="only after N restarts; 0: at the first start")
    return parser.parse_args()


def _signal(name: str) -> signal.Signals:
    try:
        return signal.Signals[f"SIG{name.upper().removeprefix('SIG')}"]
    except KeyError:
        raise argparse.ArgumentTypeError(f"no signal {name!r}") from None


def main(name: str, description: str | None, build: Callable[[Job, Group], Model]) -> int:
    """Run a recipe from start to end; returns the exit code."""
    chosen = options(name, description)
    job = Job(os.environ)
    job.beat()
    try:
        group = Group(job, join_timeout=chosen.join_timeout, peer_timeout=chosen.peer_timeout)
        print(f"rank {job.rank} of {job.world}: joined", flush=True)
        try:
            train(job, group, build(job, group), chosen)
        finally:
            group.close()
    except PeerLost as lost:
        print(f"rank {job.rank}: {lost}", file=sys.stderr, flush=True)
        time.sleep(chosen.linger)
        return EXIT_PEER_LOST
    return 0


def train(job: Job, group: Group, model: Model, chosen: argparse.Namespace) -> None:
    """Do the remaining steps and print the results. Raises PeerLost."""
    done, state = group.broadcast(job.load() if job.rank == 0 else None)
    if state is not None:
        model.restore(state)
        say(job, f"resumed from step {done}")
    begin = time.monotonic()
    loss = float("nan")
    for number in range(done + 1, chosen.steps + 1):
        time.sleep(chosen.step_time)
        inject(job, chosen, number)
        loss = model.step(number)
        job.beat()
        rate = (number - done) / (time.monotonic() - begin)
        say(job, f"step={number} loss={loss:.4f} sps={rate:.1f}")
        if chosen.checkpoint_every and number % chosen.checkpoint_every == 0:
            state = model.state()
            if job.rank == 0:
                job.save(number, state)
    say(job, f"done steps={chosen.steps} {model.summary()}")
    if job.rank == 0:
        job.discard_checkpoint()


def inject(job: Job, chosen: argparse.Namespace, number: int) -> None:
    """Fail or hang if the command line requests it for this step and this rank."""
    if job.rank != chosen.fault_rank % job.world or chosen.fail_on_restart not in (None, job.restarts):
        return
    if chosen.stall_after is not None and number > chosen.stall_after:
        print(f"rank {job.rank}: hanging, as requested", flush=True)
        while True:
            time.sleep(60)
    if number == chosen.fail_at:
        print(f"rank {job.rank}: failing in step {number}, as requested", flush=True)
        if chosen.die_with is not None:
            os.kill(os.getpid(), chosen.die_with)
        # Like a crash: nothing is closed first.
        os._exit(chosen.exit_code)


def say(job: Job, text: str) -> None:
    """Print a line, once for the whole job."""
    if job.rank == 0:
        print(text, flush=True)
