from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.protocol import Found
from pytest_clusterjobs.backends.protocol import Notifying
from pytest_clusterjobs.backends.protocol import NotSubmitted
from pytest_clusterjobs.backends.protocol import SubmissionRejected
from pytest_clusterjobs.engine.logs import LogReader
from pytest_clusterjobs.judge import outcome
from pytest_clusterjobs.model import ActionKind
from pytest_clusterjobs.model import Classification
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Outcome
from pytest_clusterjobs.model import OwnAction
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import ReasonClass
from pytest_clusterjobs.model.token import Token
from pytest_clusterjobs.testing.simulation.backend import open_backend
from pytest_clusterjobs.testing.simulation.backend import SimulatedBackend
from pytest_clusterjobs.testing.simulation.behaviour import Behaviour
from pytest_clusterjobs.testing.simulation.behaviour import RankBehaviour
from pytest_clusterjobs.testing.simulation.behaviour import simple
from pytest_clusterjobs.testing.simulation.cluster import SimulatedCluster
from pytest_clusterjobs.testing.simulation.faults import ClusterFaults
from pytest_clusterjobs.testing.simulation.faults import JOB_FAULTS
from pytest_clusterjobs.testing.simulation.faults import JobFaults
from pytest_clusterjobs.testing.simulation.faults import LOG_FAULTS
from pytest_clusterjobs.testing.simulation.jobs import TrueJob
from pytest_clusterjobs.testing.simulation.network import ANSWER_KINDS
from pytest_clusterjobs.testing.simulation.network import NetworkFaults
from pytest_clusterjobs.testing.simulation.observing import handle_of
from pytest_clusterjobs.testing.simulation.rng import Rng
from pytest_clusterjobs.testing.simulation.traits import draw_traits
from pytest_clusterjobs.testing.simulation.traits import Traits
from pytest_clusterjobs.testing.simulation.world import World

RUN = "20260101t000000-000000"
TOKEN = str(Token.of(RUN, "m.yaml::arena-1n", 1))
TRAITS = [Traits(), Traits(reports_in_polls=False), Traits(reports_in_polls=False, ranks_in_polls=False)]


class Planned(ClusterFaults):
    def __init__(self, planned: JobFaults) -> None:
        super().__init__(Rng(0), 0.0)
        self._planned = planned

    def plan(self, rng: Rng, spec: JobSpec) -> JobFaults:
        return self._planned


def cluster_of(
    behaviour: Behaviour, traits: Traits | None = None, faults: JobFaults | None = None
) -> SimulatedCluster:
    planned = None if faults is None else Planned(faults)
    return SimulatedCluster(World(), Rng(1), traits or Traits(), lambda token: behaviour, planned)


def judged(
    backend: SimulatedBackend, handle: Handle, job: TrueJob, action: OwnAction | None = None
) -> Outcome:
    seen = backend.poll({job.token: handle})[job.token]
    assert seen.phase is Phase.ENDED
    seen = LogReader(backend, seen.handle or handle, job.token, job.spec.nodes).with_reports(seen)
    return outcome(job.spec, seen, action=action, classification=Classification(), log=None)


def agree(found: Outcome, job: TrueJob) -> None:
    truth = job.end()
    assert truth is not None
    assert found.reason in (truth.reason, *truth.also), found.detail
    assert found.reason != truth.reason or found.exit_code == truth.exit_code
    assert found.restarts == truth.restarts
    assert found.heartbeats is None or found.heartbeats == truth.heartbeats


def life(
    spec: JobSpec,
    behaviour: Behaviour,
    traits: Traits,
    faults: JobFaults | None = None,
    until: float = 1e5,
) -> TrueJob:
    cluster = cluster_of(behaviour, traits, faults)
    backend = open_backend(cluster)
    handle = backend.submit(spec, TOKEN)
    cluster.world.run(until)
    job = cluster.job(TOKEN)
    agree(judged(backend, handle, job), job)
    return job


def ended(job: TrueJob) -> tuple[str, int | None, float]:
    truth = job.end()
    assert truth is not None
    return truth.reason, truth.exit_code, round(truth.at, 2)


@pytest.mark.parametrize("traits", TRAITS)
class TestLives:
    def test_exit_codes(self, traits: Traits) -> None:
        assert ended(life(JobSpec("x"), simple(5.0), traits)) == ("job_completed", 0, 5.0)
        assert ended(life(JobSpec("x"), simple(5.0, 3), traits)) == ("job_failed", 3, 5.0)
        assert ended(life(JobSpec("x"), simple(5.0, 139), traits)) == ("killed_by_signal", 139, 5.0)

    def test_a_heartbeat_timeout(self, traits: Traits) -> None:
        behaviour = Behaviour([[RankBehaviour(10.0, run_seconds=None, beats_until=20.0)]], ["hello"])
        job = life(JobSpec("x", heartbeat_timeout=4.0), behaviour, traits)
        assert ended(job) == ("heartbeat_timeout", None, 34.05)
        assert job.ranks[0].beats == 21

    def test_a_runtime_limit_with_a_command_that_ignores_term(self, traits: Traits) -> None:
        behaviour = Behaviour([[RankBehaviour(run_seconds=None, ignores_term=True)]], [])
        job = life(JobSpec("x", max_runtime=60.0, max_restarts=2), behaviour, traits)
        assert ended(job) == ("max_runtime_reached", None, 70.0)
        assert job.starts == 1

    def test_setup(self, traits: Traits) -> None:
        fails = Behaviour([[RankBehaviour(5.0, setup_fails=True)]], [])
        job = life(JobSpec("x"), fails, traits)
        assert ended(job) == ("start_failed", None, 5.0)
        assert job.starts == 0
        slow = Behaviour([[RankBehaviour(90.0)]], [])
        assert ended(life(JobSpec("x", max_runtime=60.0), slow, traits))[0] == "start_failed"

    def test_a_failing_rank_ends_the_others(self, traits: Traits) -> None:
        behaviour = Behaviour(
            [[RankBehaviour(run_seconds=None), RankBehaviour(run_seconds=5.0, exit_code=4)]], []
        )
        job = life(JobSpec("x", nodes=2), behaviour, traits)
        assert ended(job) == ("job_failed", 4, 5.05)
        assert [rank.word for rank in job.ranks] == ["stopped", "exited"]

    def test_restarts(self, traits: Traits) -> None:
        starts = [[RankBehaviour(run_seconds=5.0, exit_code=1)], [RankBehaviour(run_seconds=7.0)]]
        job = life(JobSpec("x", max_restarts=2), Behaviour(starts, ["hello"]), traits)
        assert ended(job) == ("job_completed", 0, 12.0)
        assert (job.starts, job.restarts) == (2, 1)
        job = life(JobSpec("x", max_restarts=2), simple(5.0, 3), traits)
        assert ended(job) == ("job_failed", 3, 15.0)

    def test_preemption(self, traits: Traits) -> None:
        faults = JobFaults(preempted=3.0)
        job = life(JobSpec("x"), simple(10.0), traits, faults)
        assert ended(job) == ("preempted", None, 3.05)
        assert job.cluster.faults == {"preempted": 1}
        job = life(JobSpec("x", max_restarts=1), simple(10.0), traits, faults)
        assert ended(job) == ("job_completed", 0, 13.05)

    def test_a_lost_node(self, traits: Traits) -> None:
        job = life(JobSpec("x", nodes=2), simple(10.0), traits, JobFaults(node_loss=3.0, rank=1))
        assert ended(job) == ("node_failed", None, 3.05)

    def test_memory(self, traits: Traits) -> None:
        for whole in (False, True):
            faults = JobFaults(oom=3.0, oom_takes_sentinel=whole)
            assert ended(life(JobSpec("x", nodes=2), simple(10.0), traits, faults))[0] == "out_of_memory"
            unbegun = Behaviour([[RankBehaviour(5.0)]], [])
            assert ended(life(JobSpec("x"), unbegun, traits, faults))[0] == "start_failed"

    def test_a_killed_sentinel(self, traits: Traits) -> None:
        faults = JobFaults(killed=3.0, rank=1)
        assert ended(life(JobSpec("x", nodes=2), simple(10.0), traits, faults))[0] == "unknown"
        unbegun = Behaviour([[RankBehaviour(5.0)]], [])
        assert ended(life(JobSpec("x", nodes=2), unbegun, traits, faults))[0] == "start_failed"
        assert (
            ended(life(JobSpec("x", nodes=2, max_restarts=1), simple(10.0), traits, faults))[0]
            == "job_completed"
        )

    def test_suspended_time_does_not_count(self, traits: Traits) -> None:
        behaviour = Behaviour([[RankBehaviour(run_seconds=None)]], [])
        faults = JobFaults(suspension=3.0, suspended_for=100.0)
        job = life(JobSpec("x", max_runtime=60.0), behaviour, traits, faults)
        assert ended(job) == ("max_runtime_reached", None, 160.05)

    def test_a_cancel_by_a_person(self, traits: Traits) -> None:
        faults = JobFaults(cancelled_by_other=3.0)
        job = life(JobSpec("x", max_restarts=3), simple(10.0), traits, faults)
        assert ended(job) == ("cancelled", None, 3.05)
        assert job.end() is not None and job.end().by == "other"  # type: ignore[union-attr]

    def test_a_held_job(self, traits: Traits) -> None:
        job = life(JobSpec("x"), simple(10.0), traits, JobFaults(held=30.0))
        assert ended(job) == ("job_completed", 0, 40.0)


def test_this_run_cancels_and_a_new_process_sees_it() -> None:
    cluster = cluster_of(simple(None))
    first, second = open_backend(cluster), open_backend(cluster)
    spec = JobSpec("x")
    handle = first.submit(spec, TOKEN)
    cluster.world.run(5.0)
    assert list(second.sweep(RUN)) == [TOKEN]
    assert second.find(TOKEN) == Found(handle)
    assert second.find("cj-a-0000000000-a1") == NotSubmitted()
    second.cancel({TOKEN: handle})
    cluster.world.run(10.0)
    job = cluster.job(TOKEN)
    assert job.cancel_requests == [(5.0, "run")]
    assert ended(job) == ("cancelled", None, 5.05)
    agree(judged(first, handle, job, OwnAction(ActionKind.CANCEL, "test")), job)
    assert first.sweep(RUN) == {}


def test_a_rank_fails_and_this_run_stops_the_others() -> None:
    ranks = [RankBehaviour(run_seconds=None), RankBehaviour(run_seconds=5.0, exit_code=4)]
    cluster = cluster_of(Behaviour([ranks], []), Traits(stops_rest=False))
    backend = open_backend(cluster)
    handle = backend.submit(JobSpec("x", nodes=2), TOKEN)
    cluster.world.run(20.0)
    seen = backend.poll({TOKEN: handle})[TOKEN]
    assert seen.phase is Phase.RUNNING and seen.nodes[1].exit_code == 4
    backend.cancel({TOKEN: handle})
    cluster.world.run(30.0)
    job = cluster.job(TOKEN)
    end, found = job.command_end(), judged(backend, handle, job, OwnAction(ActionKind.STOP_REST, "test"))
    assert end is not None
    assert (found.reason, found.exit_code) == (end.reason, end.exit_code) == ("job_failed", 4)


def test_tokens_that_are_not_unique_make_two_jobs() -> None:
    cluster = cluster_of(simple(5.0), Traits(unique_tokens=False))
    backend = open_backend(cluster)
    assert backend.submit(JobSpec("x"), TOKEN) != backend.submit(JobSpec("x"), TOKEN)
    assert [job.token for job in cluster.jobs] == [TOKEN, TOKEN]


def test_slots_are_a_queue() -> None:
    cluster = cluster_of(simple(5.0), Traits(slots=2))
    backend = open_backend(cluster)
    with pytest.raises(SubmissionRejected):
        backend.submit(JobSpec("x", nodes=3), TOKEN)
    for number, nodes in enumerate([1, 2, 1]):
        backend.submit(JobSpec("x", nodes=nodes), f"{TOKEN}{number}")
    cluster.world.run(100.0)
    assert [job.ended_at for job in cluster.jobs] == [5.0, 10.0, 15.0]


def test_a_backend_that_notifies() -> None:
    assert not isinstance(open_backend(cluster_of(simple())), Notifying)
    cluster = cluster_of(simple(5.0), Traits(notifies=True))
    backend = open_backend(cluster)
    reported: list[tuple[float, str]] = []
    assert isinstance(backend, Notifying)
    backend.subscribe(lambda tokens: reported.extend((cluster.world.now, token) for token in tokens))
    backend.submit(JobSpec("x"), TOKEN)
    cluster.world.run(100.0)
    assert reported == [(0.0, TOKEN), (5.0, TOKEN)]


def test_late_ids() -> None:
    cluster = cluster_of(simple(50.0), Traits(late_ids=30.0))
    backend = open_backend(cluster)
    handle = backend.submit(JobSpec("x"), TOKEN)
    assert handle.job_id is None
    assert backend.poll({TOKEN: handle})[TOKEN].handle is None
    cluster.world.run(31.0)
    handle = backend.poll({TOKEN: handle})[TOKEN].handle or handle
    assert handle.job_id == "1"
    assert backend.poll({TOKEN: handle})[TOKEN].handle is None


def random_behaviour(rng: Rng, spec: JobSpec) -> Behaviour:
    def rank() -> RankBehaviour:
        limit = spec.max_runtime
        return RankBehaviour(
            setup_seconds=rng.weighted([(0.0, 3), (rng.uniform(0.0, limit * 0.2), 2), (limit * 1.5, 1)]),
            setup_fails=rng.chance(0.1),
            run_seconds=None if rng.chance(0.2) else rng.uniform(0.0, limit * 1.2),
            exit_code=rng.weighted([(0, 6), (1 + rng.below(3), 2), (139, 1), (137, 1), (143, 1)]),
            beats_until=rng.uniform(0.0, limit) if rng.chance(0.7) else None,
            ignores_term=rng.chance(0.2),
        )

    return Behaviour([[rank() for _ in range(spec.nodes)] for _ in range(1 + rng.below(3))], ["line"])


def random_spec(rng: Rng, traits: Traits) -> JobSpec:
    return JobSpec(
        "x",
        nodes=1 + rng.below(min(4, traits.slots)),
        heartbeat_timeout=rng.uniform(1.0, 60.0) if rng.chance(0.4) else None,
        max_runtime=rng.uniform(5.0, 600.0),
        grace_period=rng.pick([0.0, 1.0, 10.0]),
        max_restarts=rng.below(3) if traits.restarts else 0,
    )


def history(
    seed: int, intensity: float, check: Callable[[SimulatedBackend, Handle, TrueJob], None]
) -> object:
    rng = Rng(seed)
    traits = draw_traits(rng.split("traits"))
    specs: dict[str, JobSpec] = {}
    behaviours: dict[str, Behaviour] = {}
    for number in range(1 + rng.below(4)):
        token = str(Token.of(RUN, f"m.yaml::cell{number}", 1))
        specs[token] = random_spec(rng, traits)
        behaviours[token] = random_behaviour(rng.split(token), specs[token])
    world = World()
    faults = ClusterFaults(rng.split("faults"), intensity)
    cluster = SimulatedCluster(world, rng.split("cluster"), traits, behaviours.__getitem__, faults)
    network = NetworkFaults(rng.split("network"), intensity)
    backend = open_backend(cluster, network)
    handles: dict[str, Handle] = {}
    for token, spec in specs.items():
        try:
            handles[token] = backend.submit(spec, token)
        except BackendError:
            continue
    done: set[str] = set()
    while len(done) < len(handles) and world.now < 2e4:
        world.run(world.now + 60.0)
        for job in cluster.jobs:
            assert job.ended_at is not None or world.now <= job.own_limit_end(world.now) + 60.0
            if job.token in handles and job.token not in done and world.now >= job.log_at:
                done.add(job.token)
                check(backend, handles[job.token], job)
    return world.timeline


@pytest.mark.parametrize("first", range(0, 300, 50))
def test_judge_and_truth_agree_in_histories_without_faults(first: int) -> None:
    def check(backend: SimulatedBackend, handle: Handle, job: TrueJob) -> None:
        agree(judged(backend, handle, job), job)

    for seed in range(first, first + 50):
        history(seed, 0.0, check)


def test_judge_and_truth_agree_if_only_the_cluster_has_faults() -> None:
    """Faults of logs and of the list aside, what happened to a job is known at its end."""

    def check(backend: SimulatedBackend, handle: Handle, job: TrueJob) -> None:
        if not job.faults.log and not job.faults.absent:
            backend.network = NetworkFaults(Rng(0), 0.0)
            agree(judged(backend, handle, job), job)

    for seed in range(200):
        history(seed, 0.5, check)


def watched(seed: int) -> tuple[SimulatedCluster, list[tuple[float, str, str]]]:
    """A history with all faults in which a process polls all the time and reads the logs at the end."""
    rng = Rng(seed)
    traits = draw_traits(rng.split("traits"), forgets=True)
    world, spec = World(), JobSpec("x", name=f"cell{seed}", nodes=2, max_runtime=300.0, max_restarts=1)
    behaviour = random_behaviour(rng.split("behaviour"), spec)
    faults = ClusterFaults(rng.split("faults"), 1.0)
    cluster = SimulatedCluster(world, rng.split("cluster"), traits, lambda token: behaviour, faults)
    backend = open_backend(cluster, NetworkFaults(rng.split("network"), 1.0, horizon=1000.0))
    reported: list[str] = []
    if isinstance(backend, Notifying):
        backend.subscribe(reported.extend)
    seen: list[tuple[float, str, str]] = []
    end: Observation | None = None
    handle: Handle | None = None
    with suppress(BackendError):
        handle = backend.submit(spec, TOKEN)
    while world.now < 1500.0:
        world.run(world.now + 10.0)
        try:
            if handle is None:
                found = backend.find(TOKEN)
                handle = found.handle if isinstance(found, Found) else None
            if handle is None:
                continue
            if world.now > 600.0:
                backend.cancel({TOKEN: handle})
            for observation in backend.poll({TOKEN: handle}).values():
                seen.append((world.now, str(observation.phase), str(observation.exit_code)))
                end = observation if end is None and observation.phase is Phase.ENDED else end
        except BackendError as error:
            seen.append((world.now, "error", str(error)))
    if end is not None:
        job = cluster.job(TOKEN)
        with_reports = LogReader(backend, end.handle or handle_of(job, world.now), TOKEN, 2).with_reports(end)
        found_end = outcome(spec, with_reports, action=None, classification=Classification(), log=None)
        truth = job.end()
        assert truth is not None
        allowed = [truth.reason, *truth.also]
        if any(node.report is None for node in found_end.nodes):
            allowed.extend(reason for reason, _ in job.partial_ends())
        infra = found_end.reason_class is ReasonClass.INFRA
        assert infra or found_end.reason in allowed, (seed, found_end.detail, truth)
    return cluster, [*world.timeline, *seen]


def test_faults_never_make_another_product_reason_and_all_kinds_happen() -> None:
    happened: dict[str, int] = {}
    for seed in range(400):
        for kind, count in watched(seed)[0].faults.items():
            happened[kind] = happened.get(kind, 0) + count
    kinds = [kind for kind, _ in (*JOB_FAULTS, *LOG_FAULTS)]
    calls = [
        "error_before",
        "error_after",
        "throttled",
        "outage",
        "rejected",
        "forgotten",
        "absent",
        "false_limit",
        "late_contradiction",
    ]
    # A contradiction is what another process is told.
    assert set(happened) == {*kinds, *calls, *ANSWER_KINDS} - {"contradiction"}


def test_a_seed_replays_a_history() -> None:
    for seed in range(20):
        assert watched(seed)[1] == watched(seed)[1]


def test_random_numbers_are_the_same_in_every_python() -> None:
    rng = Rng(7).split("a")
    found = (
        rng.below(1000),
        rng.uniform(0.0, 1.0),
        rng.shuffled(range(5)),
        rng.weighted([("a", 1), ("b", 3)]),
    )
    assert found == (523, 0.7170491548674808, [1, 4, 2, 0, 3], "b")


def test_a_history_does_not_depend_on_hashes() -> None:
    code = "import test_simulated_cluster as t; print(t.digest())"
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    found = [
        subprocess.run(
            [sys.executable, "-c", code],
            env={**environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    ]
    assert found[0] == found[1] != b""


def digest() -> str:
    return hashlib.sha256(repr([watched(seed)[1] for seed in range(30)]).encode()).hexdigest()
