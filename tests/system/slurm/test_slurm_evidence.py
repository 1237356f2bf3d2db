"""Evidence on a real Slurm: did the command begin, did a limit end it, how long did it run."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from pytest_clusterjobs.devclusters.slurm import SlurmClient
from pytest_clusterjobs.devclusters.slurm import SlurmCluster
from pytest_clusterjobs.devclusters.slurm.client import find_program
from pytest_clusterjobs.devclusters.supervisor import wait_until
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import ReasonClass
from pytest_clusterjobs.model import Source
from pytest_clusterjobs.testing import Cluster
from tests.mounts import small
from tests.system.slurm.jobs import started

pytestmark = pytest.mark.system

Place = tuple[SlurmCluster, Cluster]

HANDLER = """python3 -c '
import os, signal, sys, time
signal.signal(signal.SIG{name}, lambda *_: (os.write(1, b"saved\\n"), sys.exit(0)))
os.write(1, b"ready\\n")
time.sleep(60)
'"""


def program(folder: Path, text: str) -> Path:
    path = folder / "program"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    folder.chmod(0o755)
    return path


@pytest.mark.parametrize("name", ["USR1", "HUP", "INT"])
def test_a_signal_to_the_batch_shell_reaches_the_command(run: Cluster, slurm: SlurmClient, name: str) -> None:
    job = started(run, HANDLER.format(name=name))
    run.eventually(lambda: "ready" in run.read(job).text)
    slurm.run("scancel", "--batch", f"--signal={name}", str(job.handle.job_id))
    assert run.end(job, seconds=60).reason == Reason.JOB_COMPLETED
    assert "saved" in run.printed(job)


@pytest.mark.parametrize("option", ["--batch", "--full"])
def test_a_command_that_dies_of_such_a_signal_was_stopped(
    run: Cluster, slurm: SlurmClient, option: str
) -> None:
    job = started(run, "echo ready; exec sleep 60", heartbeat_timeout=50.0)
    run.eventually(lambda: "ready" in run.read(job).text)
    slurm.run("scancel", option, "--signal=USR1", str(job.handle.job_id))
    outcome = run.end(job, seconds=60)
    assert outcome.reason_class is ReasonClass.INFRA, outcome.detail
    assert outcome.exit_code is None


def test_a_signal_to_every_process_of_several_ranks_reaches_the_command(
    run: Cluster, slurm: SlurmClient
) -> None:
    job = started(run, HANDLER.format(name="USR1"), nodes=2)
    run.eventually(lambda: all("ready" in run.read(job, node=rank).text for rank in (0, 1)))
    slurm.run("scancel", "--signal=USR1", str(job.handle.job_id))
    assert run.end(job, seconds=60).reason == Reason.JOB_COMPLETED


# The command never began.


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("missing", [False, True])
def test_a_task_prolog_that_fails_is_a_failed_start(
    place: Callable[..., Place], tmp_path: Path, nodes: int, missing: bool
) -> None:
    prolog = tmp_path / "none" if missing else program(tmp_path, "exit 3")
    _, run = place(extra=f"TaskProlog={prolog}")
    job = run.submit("echo reached; exit 3", nodes=nodes)
    outcome = run.end(job, seconds=90)
    assert (outcome.reason, outcome.source) == (Reason.START_FAILED, Source.SCHEDULER), outcome.detail
    assert "TaskProlog failed" in outcome.native_reason
    assert "reached" not in run.read(job).text


def test_a_task_prolog_that_fails_on_one_of_two_nodes(place: Callable[..., Place], tmp_path: Path) -> None:
    prolog = program(tmp_path, '[ "${SLURM_PROCID:-0}" = 0 ] || exit 1')
    _, run = place(extra=f"TaskProlog={prolog}")
    outcome = run.end(run.submit("sleep 5; exit 3", nodes=2), seconds=90)
    assert outcome.reason == Reason.START_FAILED, outcome.detail


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_failed_prolog_is_a_failed_start_and_not_a_cancel(
    place: Callable[..., Place], tmp_path: Path, nodes: int
) -> None:
    _, run = place(extra=f"Prolog={program(tmp_path, 'exit 1')}")
    job = run.submit("echo reached; exit 3", nodes=nodes)
    outcome = run.end(job, seconds=90)
    assert (outcome.reason, outcome.native_state) == (Reason.START_FAILED, "CANCELLED"), outcome.detail
    assert "Error running slurm prolog" in outcome.native_reason
    assert "reached" not in run.read(job).text


def test_a_job_that_slurm_holds_after_a_failed_launch_is_not_waited_for(
    place: Callable[..., Place], tmp_path: Path
) -> None:
    slurm, run = place(extra=f"Prolog={program(tmp_path, 'exit 1')}\nSchedulerParameters=batch_sched_delay=0")
    job = run.submit("echo reached", max_restarts=1)
    outcome = run.end(job, seconds=60)
    assert (outcome.reason, outcome.source) == (Reason.START_FAILED, Source.SCHEDULER), outcome.detail
    assert "launch failed requeued held" in outcome.native_reason
    slurm.wait_for(str(job.handle.job_id), "CANCELLED")
    assert run.poll(job)[0].reason_hint is Reason.START_FAILED, "it stays what it was"
    assert run.backend.sweep(run.run_id) == {}


PLUGIN = """
/* As pyxis does: an option of srun, and what it stands for fails. */
const char plugin_name[] = "refuse", plugin_type[] = "spank";
const unsigned int plugin_version = VERSION, spank_plugin_version = 1;
static int wanted;
static int take(int value, const char *text, int remote) { wanted = 1; return 0; }
struct { char *name, *arginfo, *usage; int has_arg, value; int (*take)(int, const char *, int); } spank_options[] = {
    {"container-image", "IMAGE", "", 1, 0, take}, {0}};
int HOOK(void *spank, int count, char **words) { return wanted ? -1 : 0; }
"""


def plugin(folder: Path, hook: str, compiler: str) -> str:
    """The line of slurm.conf for a plugin that fails at ``hook``."""
    version = subprocess.run(
        [find_program("slurmd"), "-V"], check=True, capture_output=True, text=True
    ).stdout
    major, minor, micro = (int(number) for number in re.findall(r"[0-9]+", version)[:3])
    source, built, stack = folder / "plugin.c", folder / "refuse.so", folder / "plugstack.conf"
    source.write_text(PLUGIN)
    defined = [f"-DVERSION={major << 16 | minor << 8 | micro}", f"-DHOOK={hook}"]
    subprocess.run([compiler, "-shared", "-fPIC", "-w", *defined, "-o", built, source], check=True)
    stack.write_text(f"required {built}\n")
    return f"PlugStackConfig={stack}"


@pytest.mark.parametrize(
    "hook",
    [
        "slurm_spank_task_init",
        # srun ends with 0 at this one.
        "slurm_spank_user_init",
        "slurm_spank_local_user_init",
    ],
)
@pytest.mark.parametrize("nodes", [1, 2])
def test_a_container_plugin_that_fails_is_a_failed_start(
    place: Callable[..., Place], tmp_path: Path, require: Callable[[str], str], hook: str, nodes: int
) -> None:
    _, run = place(extra=plugin(tmp_path, hook, require("gcc")))
    options = {"container-image": "an image"}
    outcome = run.run("echo reached", nodes=nodes, options=options, max_restarts=1, seconds=90)
    assert (outcome.reason, outcome.source) == (Reason.START_FAILED, Source.SCHEDULER), outcome.detail
    assert "spank: required plugin" in outcome.native_reason
    assert outcome.restarts == 0, "nothing of the job has failed"
    assert run.run("exit 3", nodes=nodes, seconds=60).exit_code == 3


def test_a_full_disk_is_a_failed_start(place: Callable[..., Place], tmp_path: Path) -> None:
    _, run = place()
    with small(tmp_path / "small", 256) as disk:
        run.harness = replace(run.harness, settings={**run.harness.settings, "folder": str(disk)})
        backend = run.open()
        fill = disk / "fill"
        job = run.submit("exit 3", backend=backend, options={"begin": "now+3"})
        with suppress(OSError), fill.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(4096))
        outcome = run.end(job, seconds=90)
        assert (outcome.reason, outcome.exit_code) == (Reason.START_FAILED, None), outcome.detail


# Jobs that Slurm has dropped.


def forgotten(slurm: SlurmCluster) -> None:
    wait_until(lambda: not slurm.run("squeue", "--noheader", "--states=all").strip(), "nothing", 120)


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_kill_for_memory_of_a_dropped_job(place: Callable[..., Place], nodes: int) -> None:
    slurm, run = place(min_job_age=2)
    if not slurm.memory_limits:
        pytest.skip("this machine has no memory cgroups to limit with")
    eat = f"{run.harness.python} -c 'bytearray(400 << 20)' || true; sleep 1"
    job = run.submit(eat, nodes=nodes, options={"mem": "64M"})
    forgotten(slurm)
    outcome = run.end(job, seconds=60)
    assert (outcome.reason, outcome.source) == (Reason.OUT_OF_MEMORY, Source.SCHEDULER), outcome.detail


@pytest.mark.parametrize("nodes", [1, 2])
@pytest.mark.parametrize("heeds", [True, False])
def test_a_cancel_of_a_dropped_job(place: Callable[..., Place], nodes: int, heeds: bool) -> None:
    slurm, run = place(min_job_age=2)
    job = started(run, "sleep 600" if heeds else "trap '' TERM; while :; do sleep 1; done", nodes=nodes)
    run.eventually(lambda: "begun" in run.read(job).text)
    slurm.run("scancel", str(job.handle.job_id))
    forgotten(slurm)
    outcome = run.end(job, seconds=60)
    assert (outcome.reason, outcome.exit_code) == (Reason.CANCELLED, None), outcome.detail


# Signals and suspension.


def test_a_signal_ahead_of_the_time_limit_reaches_the_command(run: Cluster) -> None:
    """Slurm sends the signal two minutes before the end of --time, which is almost at once here."""
    options = {"signal": "B:USR1@110"}
    job = run.submit(HANDLER.format(name="USR1"), options=options, max_runtime=50.0, grace_period=1.0)
    assert run.end(job, seconds=90).reason == Reason.JOB_COMPLETED
    assert "saved" in run.printed(job)


@pytest.mark.parametrize("option", ["--batch", "--full"])
@pytest.mark.parametrize("nodes", [1, 2])
def test_a_command_that_continues_after_a_signal_has_its_own_end(
    run: Cluster, slurm: SlurmClient, option: str, nodes: int
) -> None:
    goes_on = HANDLER.format(name="USR1").replace("sys.exit(0)", "sys.stdout.flush()").replace("(60)", "(3)")
    job = started(run, f"{goes_on}; exit 7", nodes=nodes)
    run.eventually(lambda: all("ready" in run.read(job, node=rank).text for rank in range(nodes)))
    slurm.run("scancel", option, "--signal=USR1", str(job.handle.job_id))
    outcome = run.end(job, seconds=60)
    assert (outcome.reason, outcome.exit_code) == (Reason.JOB_FAILED, 7), outcome.detail
    assert all("saved" in run.printed(job, node=rank) for rank in range(nodes))


@pytest.mark.parametrize("nodes", [1, 2])
def test_a_term_to_the_batch_shell_alone_stops_the_job(run: Cluster, slurm: SlurmClient, nodes: int) -> None:
    job = started(run, "echo ready; exec sleep 60", nodes=nodes)
    run.eventually(lambda: all("ready" in run.read(job, node=rank).text for rank in range(nodes)))
    slurm.run("scancel", "--batch", "--signal=TERM", str(job.handle.job_id))
    outcome = run.end(job, seconds=40)
    assert (outcome.reason_class, outcome.exit_code) == (ReasonClass.INFRA, None) or (
        outcome.reason == Reason.CANCELLED
    ), outcome.detail


def test_time_in_which_a_job_is_suspended_does_not_count(run: Cluster, slurm: SlurmClient) -> None:
    steps = "for i in 1 2 3 4 5 6; do sleep 0.5; done; exit 3"
    job = started(run, f"echo ready; {steps}", max_runtime=8.0, heartbeat_timeout=7.0)
    run.eventually(lambda: "ready" in run.read(job).text)
    slurm.run("scontrol", "suspend", str(job.handle.job_id))
    run.eventually(lambda: run.poll(job)[0].suspended)
    time.sleep(12)
    assert run.poll(job)[0].native_state == "SUSPENDED"
    slurm.run("scontrol", "resume", str(job.handle.job_id))
    outcome = run.end(job, seconds=60)
    assert (outcome.reason, outcome.exit_code) == (Reason.JOB_FAILED, 3), outcome.detail


# The environment of the command.


@pytest.mark.parametrize("nodes", [1, 2])
def test_exported_functions_and_names_reach_the_command(
    run: Cluster, monkeypatch: pytest.MonkeyPatch, nodes: int
) -> None:
    names = ["n", "dir", "max", "child", "home", "code", "sh", "_a", "_Z"]
    monkeypatch.setenv("BASH_FUNC_greet%%", "() { echo hello from $n; }")
    for name in names:
        monkeypatch.setenv(name, f"the caller's {name}")
    job = run.submit("; ".join(["greet", *(f'echo "${name}"' for name in names)]), nodes=nodes)
    assert run.end(job, seconds=60).reason == Reason.JOB_COMPLETED
    expected = ["hello from the caller's n", *(f"the caller's {name}" for name in names)]
    for rank in range(nodes):
        assert [line for line in run.printed(job, node=rank) if "caller's" in line] == expected


def test_a_detached_process_does_not_hide_the_end_of_a_rank(run: Cluster) -> None:
    flood = "setsid sh -c 'trap \"\" TERM; for i in 1 2 3 4; do seq 30000; sleep 0.5; done' & sleep 0.2"
    outcome = run.run(f'{flood}; exit "$CLUSTERJOBS_NODE_RANK"', nodes=2, seconds=60)
    assert (outcome.reason, outcome.exit_code) == (Reason.JOB_FAILED, 1), outcome.detail
    assert all(node.report is not None for node in outcome.nodes)
