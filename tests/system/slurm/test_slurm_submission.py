"""Submissions to a real Slurm: scripts and options, rejections, and lost responses."""

from __future__ import annotations

import getpass
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.backends import command_line
from pytest_clusterjobs.backends.command_line import CommandRunner
from pytest_clusterjobs.backends.protocol import Backend
from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.protocol import Found
from pytest_clusterjobs.backends.protocol import NotSubmitted
from pytest_clusterjobs.backends.protocol import SubmissionRejected
from pytest_clusterjobs.backends.protocol import Throttled
from pytest_clusterjobs.backends.protocol import Unknown
from pytest_clusterjobs.backends.slurm import commands
from pytest_clusterjobs.backends.slurm.client import SlurmBackend
from pytest_clusterjobs.devclusters.slurm import SlurmClient
from pytest_clusterjobs.devclusters.slurm import SlurmCluster
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import Resources
from pytest_clusterjobs.model.token import nonce
from pytest_clusterjobs.testing import Cluster
from pytest_clusterjobs.testing import Harness
from pytest_clusterjobs.testing import SubmittedJob
from tests.system.slurm.jobs import started

pytestmark = pytest.mark.system

Place = tuple[SlurmCluster, Cluster]


def slurm_backend(backend: Backend) -> SlurmBackend:
    assert isinstance(backend, SlurmBackend)
    return backend


# The submission.


def test_the_preview_is_what_is_submitted(run: Cluster, slurm: SlurmClient) -> None:
    spec = run.spec("exit 3", nodes=2, args=("a b", "it's"), env={"X": "$y"}, options={"nice": 3})
    token = run.token()
    shown = slurm_backend(run.backend).preview(spec, token)
    handle = run.backend.submit(spec, token)
    command, _, script = shown.partition("\n")
    path = Path(shlex.split(command)[-1])
    assert path.read_text() == script
    kept = path.parent / "kept.sh"
    slurm.run("scontrol", "write", "batch_script", str(handle.job_id), str(kept))
    assert kept.read_text() == script
    assert slurm.job(str(handle.job_id))["JobName"] == token
    assert run.end(SubmittedJob(spec, token, handle, run.backend)).exit_code == 3


def test_a_preview_writes_and_queries_nothing(run: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    before = list(run.folder.rglob("*"))
    with monkeypatch.context() as patched:
        patched.setenv("PATH", "/nonexistent")
        assert "sbatch" in slurm_backend(run.backend).preview(run.spec("true"), run.token())
    assert list(run.folder.rglob("*")) == before


def test_clusterjobs_plan_shows_the_same_except_for_the_run(run: Cluster) -> None:
    project = run.folder / "project"
    project.mkdir()
    (project / "pytest.ini").write_text("[pytest]\n")
    (project / "m.yaml").write_text(
        "backend: slurm\nrecipes: {a: 'echo hi'}\nnodes: [1]\nconditions: {c: {max_runtime: 10m}}\n"
    )
    command = [sys.executable, "-m", "pytest_clusterjobs.cli", "plan", "m.yaml", "--script"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    shown = done.stdout.partition("sbatch ")[2]
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    session = [sys.executable, "-m", "pytest", "-q", "m.yaml"]
    subprocess.run(session, cwd=project, env=environ, capture_output=True, check=True)
    (path,) = project.glob(".clusterjobs/runs/*/slurm/*/job.sh")
    run_id, token = path.parents[2].name, path.parent.name
    submitted = (
        path.read_text().replace(nonce(token), nonce(token.replace(run_id, "plan"))).replace(run_id, "plan")
    )
    # The port comes from the token, and the latest start from the launch.
    varying = re.compile(r'MASTER_PORT=\w+|\[ "\$\{EPOCHSECONDS.*\n')
    assert varying.sub("", submitted) in varying.sub("", shown)


def test_resources_arrive(run: Cluster, slurm: SlurmClient) -> None:
    wanted = Resources(gpus=2, cpus=3, memory=96 << 20)
    job = started(run, "sleep 60", nodes=2, resources=wanted, max_runtime=600.0)
    seen = slurm.job(str(job.handle.job_id))
    assert (seen["NumNodes"], seen["CPUs/Task"], seen["MinMemoryNode"]) == ("2", "3", "96M")
    assert seen["TimeLimit"] == "00:12:00"
    assert "gpu:2" in seen["TresPerNode"]


def test_the_scheduler_gets_no_secret(
    run: Cluster, slurm: SlurmClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "hunter2")
    monkeypatch.setenv("SLURM_JOB_ID", "4242")
    monkeypatch.setenv("SBATCH_PARTITION", "no-such-partition")
    job = started(
        run,
        'test "$API_KEY" = "hunter$N"; env; sleep 3',
        env={"N": "2"},
        secrets=("API_KEY",),
        max_restarts=1,
    )
    job_id = str(job.handle.job_id)
    kept = run.folder / "kept.sh"
    slurm.run("scontrol", "write", "batch_script", job_id, str(kept))
    shown = slurm.run("scontrol", "show", "job", "-dd", job_id) + kept.read_text()
    shown += slurm.run("sacct", "--jobs", job_id, "--format=ALL", "--parsable")
    assert "hunter2" not in shown
    # What slurmctld keeps of a live job is its environment and its script, on disk.
    kept_on_disk: list[bytes] = []
    for path in (slurm.folder / "state").rglob("*"):
        # slurmctld replaces its files all the time.
        with suppress(FileNotFoundError, IsADirectoryError):
            kept_on_disk.append(path.read_bytes())
    assert kept_on_disk and b"hunter2" not in b"".join(kept_on_disk)
    assert run.end(job).reason == Reason.JOB_COMPLETED
    assert "4242" not in run.log(job)
    assert not (Path(job.handle.data["folder"]) / "secrets").exists()


def test_another_folder_for_the_jobs(run: Cluster) -> None:
    folder = run.folder / "a shared 100%j folder"
    harness = Harness(
        backend=run.harness.backend,
        settings={**run.harness.settings, "folder": str(folder)},
        start_seconds=60.0,
    )
    with Cluster(harness, run.folder, f"{run.run_id}-folder") as other:
        for nodes in (1, 2):
            # A failed rank ends the others, which may not have printed anything yet.
            last = f'echo here; [ "$CLUSTERJOBS_NODE_RANK" = {nodes - 1} ] || sleep 600; exit 4'
            job = other.submit(last, nodes=nodes)
            assert other.end(job).exit_code == 4
            assert "here" in other.printed(job, node=nodes - 1)
            assert Path(job.handle.data["folder"]).parent == folder / other.run_id


def test_a_folder_that_the_nodes_do_not_have(run: Cluster) -> None:
    """The nodes are this machine, so the folder is removed while the job waits."""
    job = run.submit("true", options={"hold": True})
    run.wait(job, until=lambda seen: "Held" in seen.native_reason)
    folder = Path(job.handle.data["folder"])
    folder.rename(folder.with_name("gone"))
    subprocess.run(["scontrol", "release", str(job.handle.job_id)], check=True)
    outcome = run.end(job)
    assert outcome.reason == Reason.START_FAILED
    assert "is the job's folder there, and writable, on the node?" in outcome.native_reason


# Rejections.


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"options": {"partition": "nosuch"}}, "Invalid partition name specified"),
        ({"options": {"constraint": "nosuch"}}, "Invalid feature specification"),
        ({"options": {"reservation": "nosuch"}}, "reservation is invalid"),
        ({"options": {"gres": "nosuch:1"}}, "gres"),
        ({"resources": Resources(memory=1 << 50)}, "Memory specification can not be satisfied"),
        ({"options": {"extra_options": {"no-such-option": "x"}}}, "no-such-option"),
    ],
)
def test_a_rejection_is_final_and_has_slurm_s_message(
    run: Cluster, fields: dict[str, object], message: str
) -> None:
    token = run.token()
    with pytest.raises(SubmissionRejected, match=message):
        run.backend.submit(run.spec("true", **fields), token)
    answer = run.backend.find(token)
    if isinstance(answer, Found):
        # Slurm lists some of the rejected jobs, as failed.
        job = SubmittedJob(run.spec("true"), token, answer.handle, run.backend)
        assert run.end(job).reason == Reason.REJECTED
    else:
        assert isinstance(answer, NotSubmitted)


def test_a_limit_on_submissions_passes(place: Callable[..., Place]) -> None:
    slurm, run = place(accounting=True, extra="AccountingStorageEnforce=associations,limits,qos")
    user = ["-i", "modify", "user", getpass.getuser(), "set"]
    slurm.run("sacctmgr", *user, "maxsubmitjobs=1")
    job = run.submit("true", options={"hold": True})
    with pytest.raises(Throttled, match="AssocMaxSubmitJobLimit"):
        run.backend.submit(run.spec("true"), run.token())
    slurm.run("scancel", str(job.handle.job_id))
    run.wait(job)
    assert run.run("exit 5").exit_code == 5


# Lost responses.


def test_a_submission_without_a_response_is_found(run: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    """sbatch is killed at its timeout after Slurm has accepted the job."""
    bin_folder = run.folder / "bin"
    bin_folder.mkdir()
    real = subprocess.run(["which", "sbatch"], capture_output=True, text=True, check=True).stdout.strip()
    slow = bin_folder / "sbatch"
    slow.write_text(f'#!/bin/sh\n{real} "$@" >/dev/null\nexec sleep 60\n')
    slow.chmod(0o755)
    monkeypatch.setattr(command_line.commands, "COMMAND_TIMEOUT_SECONDS", 3.0)
    token = run.token()
    with monkeypatch.context() as patched:
        patched.setenv("PATH", f"{bin_folder}:{os.environ['PATH']}")
        with pytest.raises(BackendError, match="no answer"):
            run.backend.submit(run.spec("exit 6"), token)
    answer = run.open().find(token)
    assert isinstance(answer, Found)
    again = run.submit("exit 6", token=token)
    assert again.handle.job_id == answer.handle.job_id
    assert run.end(again).exit_code == 6


def test_a_job_submitted_twice_runs_once_and_both_handles_show_its_end(run: Cluster) -> None:
    starts = run.folder / "starts"
    token = run.token()
    first = started(run, f"echo x >>{shlex.quote(str(starts))}; sleep 2; exit 7", token=token)
    folder = Path(first.handle.data["folder"])
    command = shlex.split(slurm_backend(run.backend).preview(first.spec, token).partition("\n")[0])
    job_id = commands.RUNNER.submit(command, secrets=(), folder=folder, job_id_of=commands.job_id_of)
    duplicate = SubmittedJob(first.spec, token, type(first.handle)(job_id, first.handle.data), run.backend)
    assert run.end(duplicate).exit_code == 7
    assert run.end(first).exit_code == 7
    assert duplicate.handle.job_id == first.handle.job_id
    assert starts.read_text() == "x\n"


def test_find_is_unknown_while_the_controller_is_down(place: Callable[..., Place]) -> None:
    slurm, run = place()
    token = run.token()
    slurm.stop_controller()
    answer = run.backend.find(token)
    assert isinstance(answer, Unknown) and "Unable to contact slurm controller" in answer.why
    begin = time.monotonic()
    assert all(isinstance(run.backend.find(run.token()), Unknown) for _ in range(50))
    assert time.monotonic() - begin < 5, "one answer is enough for all who ask in the next seconds"
    with pytest.raises(BackendError, match="Unable to contact slurm controller"):
        run.backend.submit(run.spec("true"), token)
    slurm.start_controller()


def test_a_reused_job_id_is_not_the_token_s_job(run: Cluster, slurm: SlurmClient) -> None:
    """Numbers begin again when a cluster is installed anew."""
    stranger = slurm.submit("sleep 60", "--job-name=stranger")
    job = run.submit("true")
    run.wait(job)
    false = SubmittedJob(job.spec, run.token(), type(job.handle)(stranger, job.handle.data), run.backend)
    (seen,) = run.poll(false)
    assert seen.phase is not Phase.RUNNING
    run.backend.cancel({false.token: false.handle})
    assert slurm.job(stranger)["JobState"] in ("PENDING", "RUNNING")
    slurm.run("scancel", stranger)


def submit_and_die(runner: CommandRunner, command: Sequence[str], *, folder: Path, **other: Any) -> str:
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    os.kill(os.getpid(), signal.SIGKILL)
    return ""


def test_a_session_that_is_killed_while_it_submits_leaves_a_job_that_is_found(run: Cluster) -> None:
    token = run.token()
    pid = os.fork()
    if pid == 0:
        with suppress(BaseException):
            CommandRunner.submit = submit_and_die  # type: ignore[assignment]
            run.backend.submit(JobSpec("sleep 60"), token)
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == -signal.SIGKILL
    answer = run.open().find(token)
    assert isinstance(answer, Found)
    assert run.open().sweep(run.run_id).keys() == {token}
