"""Walks jobs through their states, and runs their containers."""

from __future__ import annotations

import signal
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from dataclasses import field

from . import texts
from . import views
from .host import Host
from .model import ContainerAttempt
from .model import EmulatedJob
from .model import EmulatedNode
from .model import Ending
from .model import Image
from .model import now
from .model import Rules
from .model import WAITING
from .retries import wants_retry
from .runtime import Exit
from .timers import Timers

MOST_CPUS, MOST_MEMORY, MOST_GPUS = 256, 1 << 20, 8
"""The largest machine there pretends to be: vCPUs, MiB, GPUs."""


@dataclass(slots=True)
class Place:
    """What jobs compete for, and how queues and images behave."""

    slots: int
    """Containers that may run at once."""
    image: Image
    """What an image is that nothing is known of."""
    defaults: Rules = field(default_factory=Rules)
    queues: dict[str, Rules] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)

    def rules(self, job: EmulatedJob) -> Rules:
        """Those of a job's queue."""
        return self.queues.get(job.queue, self.defaults)


class EmulatedScheduler:
    """All jobs that live. Methods may be called from any thread."""

    def __init__(self, place: Place, host: Host, timers: Timers) -> None:
        self.lock = threading.RLock()
        self.place = place
        self._host = host
        self._timers = timers
        self._free = place.slots
        self._waiting: deque[EmulatedJob] = deque()
        self._stuck: list[EmulatedJob] = []

    def admit(self, job: EmulatedJob) -> None:
        """Take a new job, whose dependencies are known."""
        with self.lock:
            for other in job.waits_for:
                other.dependents.append(job)
            self._show(job)
            self._later(job, self.place.rules(job).step, self._release)
            for child in job.children:
                self.admit(child)

    def fail(self, job: EmulatedJob, reason: str) -> None:
        """End a job that was never to start."""
        with self.lock:
            for child in job.children:
                self._finish(child, "FAILED", reason)
            if not job.ended:
                self._finish(job, "FAILED", reason)

    def cancel(self, job: EmulatedJob, reason: str) -> None:
        """As CancelJob: what has begun to start is left alone."""
        with self.lock:
            for child in job.children:
                self.cancel(child, reason)
            if job.is_array or job.status not in WAITING:
                return
            job.cancelled = True
            job.ending = Ending(reason, cancelled=True)
            # A job that waits for others stays until they have ended.
            if job.status != "PENDING":
                self._finish(job, "FAILED", reason)

    def terminate(self, job: EmulatedJob, reason: str) -> None:
        """As TerminateJob: whatever its state is."""
        with self.lock:
            for child in job.children:
                self.terminate(child, reason)
            if job.ended or job.is_array:
                return
            job.terminated = True
            self._end(job, Ending(reason, terminated=True))

    def lose(self, job: EmulatedJob, index: int, reason: str, code: int | None = None) -> bool:
        """Let a node's host vanish; ``code`` is the exit code that is seen all the same. False if it does not run."""
        with self.lock:
            node = job.nodes[index]
            if node.container is None:
                return False
            node.lost = reason
            node.attempts[-1].exit_code = code
            self._host.signal(node.container, signal.SIGKILL)
            return True

    def changed_rules(self) -> None:
        """Look at the waiting jobs again, whose queues behave otherwise now."""
        with self.lock:
            jobs = [*self._waiting, *self._stuck]
            self._waiting.clear()
            self._stuck.clear()
            for job in jobs:
                if job.status == "RUNNABLE":
                    self._offer(job)

    def _release(self, job: EmulatedJob) -> None:
        if any(not other.ended for other in job.waits_for) or job.is_array:
            self._set(job, "PENDING")
        elif job.ending is not None:
            self._finish(job, "FAILED", job.ending.reason)
        elif any(other.status == "FAILED" for other in job.waits_for):
            self._finish(job, "FAILED", texts.DEPENDENCY_FAILED)
        else:
            self._queue(job)

    def _queue(self, job: EmulatedJob) -> None:
        self._set(job, "RUNNABLE")
        self._later(job, self.place.rules(job).step, self._offer)

    def _offer(self, job: EmulatedJob) -> None:
        why = self._obstacle(job)
        job.status_reason = why or None
        self._show(job)
        (self._waiting if why is None else self._stuck).append(job)
        self._fill()
        limit = self.place.rules(job).give_up
        if limit is not None and why is not None:
            self._later(job, limit, self._give_up)

    def _give_up(self, job: EmulatedJob) -> None:
        self._finish(job, "FAILED", texts.QUEUE_LIMIT.format(reason=job.status_reason))

    def _fill(self) -> None:
        """Start what can be, first come, first served."""
        while self._waiting:
            job = self._waiting[0]
            if job.status == "RUNNABLE":
                if len(job.nodes) > self._free:
                    return
                self._take(job)
            self._waiting.popleft()

    def _obstacle(self, job: EmulatedJob) -> str | None:
        """Why a job cannot start however long it waits; empty if nobody says."""
        rules = self.place.rules(job)
        if rules.stuck is not None:
            return rules.stuck
        if len(job.nodes) > self.place.slots:
            return texts.TOO_MANY_NODES
        most = {"VCPU": MOST_CPUS, "MEMORY": MOST_MEMORY, "GPU": MOST_GPUS}
        wanted = [each for node in job.nodes for each in node.spec.get("resourceRequirements", ())]
        return texts.TOO_LARGE if any(float(each["value"]) > most[each["type"]] for each in wanted) else None

    def _take(self, job: EmulatedJob) -> None:
        self._free -= len(job.nodes)
        job.holds_slots = True
        job.status_reason = None
        for node in job.nodes:
            node.status = node.status_reason = node.lost = None
        self._set(job, "STARTING")
        self._later(job, self.place.rules(job).step, self._start_main)

    def _start_main(self, job: EmulatedJob) -> None:
        if not self._start(job, job.main_node):
            self._main_ended(job)
            return
        job.started = now()
        self._set(job, "RUNNING")
        rules = self.place.rules(job)
        if job.timeout is not None:
            self._later(job, job.timeout * rules.time_scale, self._time_out)
        if len(job.nodes) > 1:
            self._later(job, rules.step, self._start_others)

    def _start_others(self, job: EmulatedJob) -> None:
        for node in job.nodes:
            if node is not job.main_node:
                self._start(job, node)
        self._show(job)

    def _start(self, job: EmulatedJob, node: EmulatedNode) -> bool:
        """Start a node's container; False if it could not be."""
        attempt = self._host.new_attempt(job, node)
        node.attempts.append(attempt)
        node.status = "RUNNING"

        def ended(how: Exit) -> None:
            with self.lock:
                self._ended(job, node, how)

        image = self.place.images.get(node.spec.get("image", ""), self.place.image)
        delay = self.place.rules(job).log_delay
        node.container = self._host.start(job, node, attempt, image, delay, ended)
        if node.container is None:
            attempt.stopped = now()
            attempt.status_reason = texts.NOT_STARTED
            node.status, node.status_reason = "FAILED", texts.NOT_STARTED
        return node.container is not None

    def _ended(self, job: EmulatedJob, node: EmulatedNode, how: Exit) -> None:
        node.container = None
        attempt = node.attempts[-1]
        attempt.stopped = now()
        _describe_end(job, node, attempt, how)
        node.status = "SUCCEEDED" if attempt.exit_code == 0 and node.lost is None else "FAILED"
        node.status_reason = attempt.status_reason
        if node is job.main_node:
            self._main_ended(job)
        else:
            self._show(job)
            self._settle(job)

    def _main_ended(self, job: EmulatedJob) -> None:
        job.turn += 1
        self._stop_others(job)
        node = job.main_node
        attempt = node.attempts[-1]
        if job.ending is not None:
            self._finish(job, "FAILED", job.ending.reason)
        elif node.status == "SUCCEEDED":
            self._finish(job, "SUCCEEDED", attempt.status_reason)
        elif wants_retry(job.retry, attempt, len(node.attempts)):
            job.again = True
            self._show(job)
            self._settle(job)
        else:
            self._finish(job, "FAILED", attempt.status_reason)

    def _stop_others(self, job: EmulatedJob) -> None:
        for node in job.nodes:
            if node is job.main_node:
                continue
            if node.status is None:
                node.status, node.status_reason = "FAILED", texts.MAIN_NODE_ENDED
            elif node.container is not None:
                node.status_reason = texts.MAIN_NODE_ENDED
                self._stop(job, node)

    def _time_out(self, job: EmulatedJob) -> None:
        self._end(job, Ending(texts.TIMED_OUT))

    def _end(self, job: EmulatedJob, ending: Ending) -> None:
        if job.ending is None or not any(job.running):
            job.ending = ending
        if not any(job.running):
            self._finish(job, "FAILED", ending.reason)
            return
        job.turn += 1
        for node in job.running:
            self._stop(job, node)

    def _stop(self, job: EmulatedJob, node: EmulatedNode) -> None:
        number = node.container
        assert number is not None
        self._host.signal(number, signal.SIGTERM)
        grace = self.place.rules(job).stop_grace
        self._timers.after(grace, lambda: self._host.signal(number, signal.SIGKILL))

    def _finish(self, job: EmulatedJob, status: str, reason: str | None) -> None:
        job.stopped = now()
        job.status_reason = reason
        self._set(job, status)
        self._settle(job)
        for other in job.dependents:
            if other.status == "PENDING":
                self._release(other)
        if job.parent is not None:
            self._child_ended(job.parent)

    def _child_ended(self, parent: EmulatedJob) -> None:
        parent.children_left -= 1
        self._show(parent)
        if parent.children_left:
            return
        bad = any(child.status == "FAILED" for child in parent.children)
        self._finish(parent, "FAILED" if bad else "SUCCEEDED", texts.CHILD_FAILED if bad else None)

    def _settle(self, job: EmulatedJob) -> None:
        """Give the slots back once nothing of a job runs any more, and start it again if it is to be."""
        if any(job.running):
            return
        if job.holds_slots:
            job.holds_slots = False
            self._free += len(job.nodes)
        if job.again:
            job.again = False
            if job.ending is None:
                self._queue(job)
            else:
                self._finish(job, "FAILED", job.ending.reason)
        self._fill()

    def _set(self, job: EmulatedJob, status: str) -> None:
        job.turn += 1
        job.status = status
        self._show(job)

    def _show(self, job: EmulatedJob) -> None:
        if self.place.rules(job).lag:
            views.remember(job)

    def _later(self, job: EmulatedJob, seconds: float, call: Callable[[EmulatedJob], None]) -> None:
        """Call it unless the job's state has changed by then."""
        turn = job.turn

        def due() -> None:
            with self.lock:
                if job.turn == turn:
                    call(job)

        self._timers.after(seconds, due)


def _describe_end(job: EmulatedJob, node: EmulatedNode, attempt: ContainerAttempt, how: Exit) -> None:
    if node.lost is not None:
        attempt.status_reason = node.lost
        return
    attempt.exit_code = how.code
    if how.refused is not None:
        # Docker's code for a program that is not there.
        attempt.exit_code = 127
        attempt.reason = how.refused[:255]
        attempt.status_reason = texts.NOT_STARTED
        return
    if how.out_of_memory:
        attempt.reason = texts.OUT_OF_MEMORY
    attempt.status_reason = (job.ending and job.ending.reason) or node.status_reason or texts.COMMAND_ENDED
