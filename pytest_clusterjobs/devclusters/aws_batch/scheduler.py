"""Moves jobs through their states, and runs their containers."""

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
from .model import Image
from .model import now
from .model import Rules
from .model import WAITING
from .retries import wants_retry
from .runtime import Exit
from .timers import Timers

MAX_CPUS, MAX_MEMORY_MIB, MAX_GPUS = 256, 1 << 20, 8
"""The size of the largest simulated machine."""


@dataclass(slots=True)
class ComputeEnvironment:
    """The slots for containers, and the rules of queues and images."""

    slots: int
    """The maximum number of containers that run at once."""
    image: Image
    """The default for images that were not defined."""
    defaults: Rules = field(default_factory=Rules)
    queues: dict[str, Rules] = field(default_factory=dict)
    images: dict[str, Image] = field(default_factory=dict)

    def rules(self, job: EmulatedJob) -> Rules:
        """The rules of a job's queue."""
        return self.queues.get(job.queue, self.defaults)


class EmulatedScheduler:
    """Runs the jobs of all accounts. Methods may be called from any thread."""

    def __init__(self, compute: ComputeEnvironment, host: Host, timers: Timers) -> None:
        self.lock = threading.RLock()
        self.compute = compute
        self._host = host
        self._timers = timers
        self._free = compute.slots
        self._waiting: deque[EmulatedJob] = deque()
        self._stuck: list[EmulatedJob] = []

    def admit(self, job: EmulatedJob) -> None:
        """Add a new job, whose dependencies have been resolved."""
        with self.lock:
            for other in job.waits_for:
                other.dependents.append(job)
            self._record(job)
            self._after(job, self.compute.rules(job).step, self._release)
            for child in job.children:
                self.admit(child)

    def fail(self, job: EmulatedJob, reason: str) -> None:
        """End a job that cannot start."""
        with self.lock:
            for child in job.children:
                self._finish(child, "FAILED", reason)
            if not job.ended:
                self._finish(job, "FAILED", reason)

    def cancel(self, job: EmulatedJob, reason: str) -> None:
        """Carry out CancelJob: only jobs that have not begun to start are ended."""
        with self.lock:
            for child in job.children:
                self.cancel(child, reason)
            if job.is_array or job.status not in WAITING:
                return
            job.cancelled = True
            job.end_reason = reason
            # A job with dependencies stays pending until they have ended.
            if job.status != "PENDING":
                self._finish(job, "FAILED", reason)

    def terminate(self, job: EmulatedJob, reason: str) -> None:
        """Carry out TerminateJob: jobs in any state are ended."""
        with self.lock:
            for child in job.children:
                self.terminate(child, reason)
            if job.ended or job.is_array:
                return
            job.terminated = True
            self._end(job, reason)

    def lose(self, job: EmulatedJob, index: int, reason: str, code: int | None = None) -> bool:
        """Lose the host of a node; ``code`` is the exit code that is reported all the same.

        Returns False if the node does not run.
        """
        with self.lock:
            node = job.nodes[index]
            if node.container is None:
                return False
            node.lost = reason
            node.attempts[-1].exit_code = code
            self._host.signal(node.container, signal.SIGKILL)
            return True

    def apply_rules(self) -> None:
        """Check all waiting jobs again, after a change of rules."""
        with self.lock:
            jobs = [*self._waiting, *self._stuck]
            self._waiting.clear()
            self._stuck.clear()
            for job in jobs:
                if job.status == "RUNNABLE":
                    self._enqueue(job)

    def _release(self, job: EmulatedJob) -> None:
        if any(not other.ended for other in job.waits_for) or job.is_array:
            self._set(job, "PENDING")
        elif job.end_reason is not None:
            self._finish(job, "FAILED", job.end_reason)
        elif any(other.status == "FAILED" for other in job.waits_for):
            self._finish(job, "FAILED", texts.DEPENDENCY_FAILED)
        else:
            self._queue(job)

    def _queue(self, job: EmulatedJob) -> None:
        self._set(job, "RUNNABLE")
        self._after(job, self.compute.rules(job).step, self._enqueue)

    def _enqueue(self, job: EmulatedJob) -> None:
        obstacle = self._obstacle(job)
        job.status_reason = obstacle or None
        self._record(job)
        (self._waiting if obstacle is None else self._stuck).append(job)
        self._start_waiting()
        limit = self.compute.rules(job).give_up
        if limit is not None and obstacle is not None:
            self._after(job, limit, self._give_up)

    def _give_up(self, job: EmulatedJob) -> None:
        self._finish(job, "FAILED", texts.QUEUE_LIMIT.format(reason=job.status_reason))

    def _start_waiting(self) -> None:
        """Start waiting jobs in order, as long as there are free slots."""
        while self._waiting:
            job = self._waiting[0]
            if job.status == "RUNNABLE":
                if len(job.nodes) > self._free:
                    return
                self._allocate(job)
            self._waiting.popleft()

    def _obstacle(self, job: EmulatedJob) -> str | None:
        """Why a job can never start: empty if the service gives no reason, ``None`` if it can start."""
        rules = self.compute.rules(job)
        if rules.stuck is not None:
            return rules.stuck
        if len(job.nodes) > self.compute.slots:
            return texts.TOO_MANY_NODES
        limits = {"VCPU": MAX_CPUS, "MEMORY": MAX_MEMORY_MIB, "GPU": MAX_GPUS}
        wanted = [each for node in job.nodes for each in node.spec.get("resourceRequirements", ())]
        return (
            texts.TOO_LARGE if any(float(each["value"]) > limits[each["type"]] for each in wanted) else None
        )

    def _allocate(self, job: EmulatedJob) -> None:
        self._free -= len(job.nodes)
        job.holds_slots = True
        job.status_reason = None
        for node in job.nodes:
            node.status = node.status_reason = node.lost = None
        self._set(job, "STARTING")
        self._after(job, self.compute.rules(job).step, self._start_main)

    def _start_main(self, job: EmulatedJob) -> None:
        if not self._start(job, job.main_node):
            self._main_ended(job)
            return
        job.started = now()
        self._set(job, "RUNNING")
        rules = self.compute.rules(job)
        if job.timeout is not None:
            self._after(job, job.timeout * rules.time_scale, self._time_out)
        if len(job.nodes) > 1:
            self._after(job, rules.step, self._start_others)

    def _start_others(self, job: EmulatedJob) -> None:
        for node in job.nodes:
            if node is not job.main_node:
                self._start(job, node)
        self._record(job)

    def _start(self, job: EmulatedJob, node: EmulatedNode) -> bool:
        """Start a node's container; False if that fails."""
        attempt = self._host.new_attempt(job)
        node.attempts.append(attempt)
        node.status = "RUNNING"

        def ended(exit: Exit) -> None:
            with self.lock:
                self._ended(job, node, exit)

        image = self.compute.images.get(node.spec.get("image", ""), self.compute.image)
        delay = self.compute.rules(job).log_delay
        node.container = self._host.start(job, node, attempt, image, delay, ended)
        if node.container is None:
            attempt.stopped = now()
            attempt.status_reason = texts.NOT_STARTED
            node.status, node.status_reason = "FAILED", texts.NOT_STARTED
        return node.container is not None

    def _ended(self, job: EmulatedJob, node: EmulatedNode, exit: Exit) -> None:
        node.container = None
        attempt = node.attempts[-1]
        attempt.stopped = now()
        _describe_end(job, node, attempt, exit)
        node.status = "SUCCEEDED" if attempt.exit_code == 0 and node.lost is None else "FAILED"
        node.status_reason = attempt.status_reason
        if node is job.main_node:
            self._main_ended(job)
        else:
            self._record(job)
            self._release_slots(job)

    def _main_ended(self, job: EmulatedJob) -> None:
        job.version += 1
        self._stop_others(job)
        node = job.main_node
        attempt = node.attempts[-1]
        if job.end_reason is not None:
            self._finish(job, "FAILED", job.end_reason)
        elif node.status == "SUCCEEDED":
            self._finish(job, "SUCCEEDED", attempt.status_reason)
        elif wants_retry(job.retry, attempt, len(node.attempts)):
            job.will_retry = True
            self._record(job)
            self._release_slots(job)
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
        self._end(job, texts.TIMED_OUT)

    def _end(self, job: EmulatedJob, reason: str) -> None:
        if job.end_reason is None or not any(job.running):
            job.end_reason = reason
        if not any(job.running):
            self._finish(job, "FAILED", reason)
            return
        job.version += 1
        for node in job.running:
            self._stop(job, node)

    def _stop(self, job: EmulatedJob, node: EmulatedNode) -> None:
        number = node.container
        assert number is not None
        self._host.signal(number, signal.SIGTERM)
        grace = self.compute.rules(job).stop_grace
        self._timers.after(grace, lambda: self._host.signal(number, signal.SIGKILL))

    def _finish(self, job: EmulatedJob, status: str, reason: str | None) -> None:
        job.stopped = now()
        job.status_reason = reason
        self._set(job, status)
        self._release_slots(job)
        for other in job.dependents:
            if other.status == "PENDING":
                self._release(other)
        if job.parent is not None:
            self._child_ended(job.parent)

    def _child_ended(self, parent: EmulatedJob) -> None:
        parent.children_left -= 1
        self._record(parent)
        if parent.children_left:
            return
        failed = any(child.status == "FAILED" for child in parent.children)
        self._finish(parent, "FAILED" if failed else "SUCCEEDED", texts.CHILD_FAILED if failed else None)

    def _release_slots(self, job: EmulatedJob) -> None:
        """Release the slots of a job after the end of all of its nodes, and retry it if necessary."""
        if any(job.running):
            return
        if job.holds_slots:
            job.holds_slots = False
            self._free += len(job.nodes)
        if job.will_retry:
            job.will_retry = False
            if job.end_reason is None:
                self._queue(job)
            else:
                self._finish(job, "FAILED", job.end_reason)
        self._start_waiting()

    def _set(self, job: EmulatedJob, status: str) -> None:
        job.version += 1
        job.status = status
        self._record(job)

    def _record(self, job: EmulatedJob) -> None:
        if self.compute.rules(job).lag:
            views.record(job)

    def _after(self, job: EmulatedJob, seconds: float, call: Callable[[EmulatedJob], None]) -> None:
        """Call ``call(job)`` after ``seconds``, unless the job's state has changed by then."""
        version = job.version

        def due() -> None:
            with self.lock:
                if job.version == version:
                    call(job)

        self._timers.after(seconds, due)


def _describe_end(job: EmulatedJob, node: EmulatedNode, attempt: ContainerAttempt, exit: Exit) -> None:
    if node.lost is not None:
        attempt.status_reason = node.lost
        return
    attempt.exit_code = exit.code
    if exit.start_error is not None:
        # Docker's code for a program that does not exist.
        attempt.exit_code = 127
        attempt.reason = exit.start_error[:255]
        attempt.status_reason = texts.NOT_STARTED
        return
    if exit.out_of_memory:
        attempt.reason = texts.OUT_OF_MEMORY
    attempt.status_reason = (job.end_reason and job.end_reason) or node.status_reason or texts.COMMAND_ENDED
