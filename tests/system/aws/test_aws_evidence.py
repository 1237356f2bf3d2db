"""Which evidence of a rank makes an end the product's, and what AWS reports if there is none."""

from __future__ import annotations

import shlex
import threading
from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.devclusters.aws_batch import BatchClient
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import Verdict
from tests.system.aws.run import Run
from tests.system.processes import until

CONTAINER = {
    "image": "local",
    "command": ["true"],
    "resourceRequirements": [{"type": "VCPU", "value": "1"}, {"type": "MEMORY", "value": "2048"}],
}
DENIAL = "is not authorized to perform: GetLogEvents"


@contextmanager
def beside(call: Callable[[], None]) -> Iterator[None]:
    """Call a function while a run goes on."""
    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield
    finally:
        thread.join()


def ended(run: Run, spec: JobSpec, **site: Any) -> Observation:
    """The end of a job, observed after its logs had time to arrive."""
    backend, token = run.open(**site), run.token()
    handle = backend.submit(spec, token)
    until(lambda: backend.poll({token: handle})[token].phase is Phase.ENDED)
    seen = [backend.poll({token: handle})[token]]

    def is_known() -> bool:
        seen.append(backend.poll({token: handle})[token])
        return all(node.report or node.begun is not None or node.unread for node in seen[-1].nodes)

    until(is_known)
    return seen[-1]


def of_ranges(batch: Any, name: str, *images: str) -> str:
    """A job definition whose main node has the first image, and all others the second."""
    ranges = [
        {"targetNodes": targets, "container": {**CONTAINER, "image": image}}
        for targets, image in zip(("0:0", "1:"), images, strict=True)
    ]
    nodes = {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": ranges}
    batch.register_job_definition(jobDefinitionName=name, type="multinode", nodeProperties=nodes)
    return name


# Lost nodes.


@pytest.mark.parametrize(
    ("main", "fargate", "rank", "reason"),
    [
        ("sleep 600", False, 1, Reason.NODE_FAILED),
        ("sleep 600", True, 1, Reason.PREEMPTED),
        ("exit 0", False, 1, Reason.NODE_FAILED),
        ("exit 1", False, 1, Reason.NODE_FAILED),
        ("exit 1", True, 1, Reason.PREEMPTED),
        ("sleep 600", False, 0, Reason.NODE_FAILED),
        ("sleep 600", True, 0, Reason.PREEMPTED),
    ],
)
def test_a_lost_node_is_the_reason_of_the_job(
    run: Run, aws: BatchClient, tmp_path: Path, main: str, fargate: bool, rank: int, reason: Reason
) -> None:
    flags = shlex.quote(str(tmp_path))
    command = f'touch {flags}/$CLUSTERJOBS_NODE_RANK; [ "$CLUSTERJOBS_NODE_RANK" = 0 ] || sleep 600;'
    command += f"until [ -e {flags}/lost ]; do sleep 0.05; done; {main}"

    def reclaim() -> None:
        until(lambda: all((tmp_path / str(each)).exists() for each in range(3)))
        aws.reclaim(f"{run.listed()[0]['jobId']}#{rank}", fargate=fargate)
        (tmp_path / "lost").touch()

    with beside(reclaim):
        [result] = run.finish(JobSpec(command, nodes=3, grace_period=0.5))
    assert result.outcome.reason == reason, result.outcome.detail
    assert result.judgement.verdict is Verdict.ERROR
    assert ("Your Spot Task was interrupted" if fargate else "Host EC2") in result.outcome.native_reason


def test_a_child_whose_image_cannot_be_pulled_is_a_failed_start(run: Run, batch: Any, worker: str) -> None:
    name = of_ranges(batch, f"p-{worker}", "local", "registry.invalid/x:1")
    [result] = run.finish(JobSpec("sleep 600", nodes=2, options={"jobDefinition": name}))
    assert result.outcome.reason == Reason.START_FAILED, result.outcome.detail
    assert "CannotPullContainerError" in result.outcome.native_reason


def test_a_child_whose_entrypoint_does_not_run_the_command_is_a_failed_start(
    run: Run, aws: BatchClient, batch: Any, worker: str
) -> None:
    image = aws.add_image(f"swallows-{worker}", entrypoint=("sh", "-c", "echo usage; exit 2", "--"))
    name = of_ranges(batch, f"e-{worker}", "local", image)
    [result] = run.finish(JobSpec("sleep 600", nodes=2, options={"jobDefinition": name}))
    assert result.outcome.reason == Reason.START_FAILED, result.outcome.detail


# Commands that never began.


@pytest.mark.parametrize("code", [0, 1, 2, 127])
def test_a_command_that_an_entrypoint_does_not_run_never_began(
    run: Run, aws: BatchClient, worker: str, code: int
) -> None:
    image = aws.add_image(f"s-{code}-{worker}", entrypoint=("sh", "-c", f"echo usage; exit {code}", "--"))
    seen = ended(run, JobSpec("true", image=image))
    assert (seen.reason_hint, seen.nodes[0].begun) == (Reason.START_FAILED, False)
    assert "ENTRYPOINT" in seen.native_reason


def test_a_container_that_cannot_be_started_has_aws_s_message(
    run: Run, aws: BatchClient, worker: str
) -> None:
    message = "CannotStartContainerError: Error response from daemon: no such device"
    image = aws.add_image(f"broken-{worker}", fails=message, code=1)
    [result] = run.finish(JobSpec("true", image=image))
    assert result.outcome.reason == Reason.START_FAILED
    assert message in result.outcome.native_reason


@pytest.mark.parametrize("run_text", ["kill -9 $PPID; exit 3", "kill -9 $PPID; exit 0"])
def test_a_rank_whose_sentinel_was_killed_began_and_has_no_report(run: Run, run_text: str) -> None:
    seen = ended(run, JobSpec(run_text))
    assert (seen.nodes[0].report, seen.nodes[0].begun, seen.reason_hint) == (None, True, None)
    [result] = run.finish(JobSpec(run_text))
    assert result.judgement.verdict is not Verdict.PASSED


# Unreadable logs.


def test_a_denied_log_is_reported_and_does_not_affect_other_jobs(
    run: Run, aws: BatchClient, batch: Any, worker: str
) -> None:
    name = f"d-{worker}"
    batch.register_job_definition(jobDefinitionName=name, type="container", containerProperties=CONTAINER)
    aws.deny("GetLogEvents", caller=worker, about=f'"{name}/')
    hidden: dict[str, Any] = {"options": {"jobDefinition": name}}
    try:
        seen = ended(run, JobSpec("exit 3", **hidden))
        assert (seen.reason_hint, seen.nodes[0].begun, seen.log_complete) == (None, None, False)
        assert DENIAL in seen.nodes[0].unread
        results = run.finish(
            JobSpec("true", **hidden), JobSpec("exit 3", **hidden), JobSpec("exit 4"), JobSpec("true")
        )
    finally:
        aws.clear_faults(caller=worker)
    assert [(each.outcome.reason, each.outcome.exit_code) for each in results] == [
        (Reason.UNKNOWN, None),
        (Reason.UNKNOWN, None),
        (Reason.JOB_FAILED, 4),
        (Reason.JOB_COMPLETED, 0),
    ]
    for result in results[:2]:
        assert result.judgement.verdict is Verdict.ERROR and result.attempt == 1
        assert DENIAL in result.outcome.detail and "ENTRYPOINT" not in result.outcome.detail


def test_reading_a_denied_log_is_an_error(run: Run, aws: BatchClient, worker: str) -> None:
    backend, token = run.open(), run.token()
    handle = backend.submit(JobSpec("exit 3"), token)
    until(lambda: backend.poll({token: handle})[token].phase is Phase.ENDED)
    aws.deny("GetLogEvents", caller=worker)
    try:
        for tail in (None, 20_000):
            with pytest.raises(BackendError, match="is not authorized"):
                backend.logs(handle, tail=tail)
    finally:
        aws.clear_faults(caller=worker)


def test_a_missing_log_group_is_not_a_failed_start(run: Run, trouble: Callable[..., None]) -> None:
    message = "The specified log group does not exist."
    trouble("GetLogEvents", status=400, code="ResourceNotFoundException", message=message, times=1 << 30)
    seen = ended(run, JobSpec("exit 3"))
    assert (seen.reason_hint, seen.nodes[0].begun, seen.log_complete) == (None, None, False)
    assert message in seen.nodes[0].unread
    results = run.finish(JobSpec("exit 3"), JobSpec("true"))
    for result in results:
        assert result.outcome.reason == Reason.UNKNOWN, result.outcome.detail
        assert message in result.outcome.detail


def test_a_denied_log_of_one_rank_makes_the_job_unknown(
    run: Run, aws: BatchClient, batch: Any, worker: str
) -> None:
    """The log of one rank does not replace that of the other."""
    logging = {"logDriver": "awslogs", "options": {"awslogs-stream-prefix": f"r-{worker}"}}
    ranges = [
        {"targetNodes": "0:0", "container": CONTAINER},
        {"targetNodes": "1:", "container": {**CONTAINER, "logConfiguration": logging}},
    ]
    nodes = {"numNodes": 2, "mainNode": 0, "nodeRangeProperties": ranges}
    batch.register_job_definition(jobDefinitionName=f"r-{worker}", type="multinode", nodeProperties=nodes)
    aws.deny("GetLogEvents", caller=worker, about=f'"r-{worker}/')
    try:
        [result] = run.finish(JobSpec("true", nodes=2, options={"jobDefinition": f"r-{worker}"}))
    finally:
        aws.clear_faults(caller=worker)
    assert result.outcome.reason == Reason.UNKNOWN
    assert result.judgement.verdict is Verdict.ERROR


# Other output than the last line.


@pytest.mark.parametrize(("nodes", "code"), [(1, 3), (2, 0)])
def test_a_daemon_that_floods_the_log_does_not_hide_the_report(run: Run, nodes: int, code: int) -> None:
    flood = "setsid sh -c 'while :; do seq 300; sleep 0.005; done'"
    [result] = run.finish(JobSpec(f"{flood} & sleep 0.5; exit {code}", nodes=nodes))
    assert result.outcome.exit_code == code, result.outcome.detail


# Signals.


@pytest.mark.parametrize("signal", ["USR1", "USR2", "HUP", "INT"])
def test_a_signal_reaches_the_command_and_is_not_a_limit(run: Run, signal: str) -> None:
    kill = f'setsid sh -c "sleep 0.3; kill -{signal} $PPID" &'
    handler = f"trap 'got=x' {signal}; {kill} until [ \"$got\" ]; do sleep 0.05 || :; done; exit 5"
    handled, died = run.finish(
        JobSpec(handler, heartbeat_timeout=60.0), JobSpec(f"{kill} exec sleep 60", heartbeat_timeout=60.0)
    )
    assert (handled.outcome.reason, handled.outcome.exit_code) == (Reason.JOB_FAILED, 5)
    assert died.outcome.reason == Reason.UNKNOWN, died.outcome.detail
    assert "stopped from outside" in died.outcome.detail
