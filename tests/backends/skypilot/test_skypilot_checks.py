"""The problems of a job that are reported at collection, before anything is launched."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytest_clusterjobs.backends.limits import excesses
from pytest_clusterjobs.backends.settings import FaultySettings
from pytest_clusterjobs.backends.skypilot import TYPE
from pytest_clusterjobs.backends.skypilot.checks import problems
from pytest_clusterjobs.backends.skypilot.settings import capabilities
from pytest_clusterjobs.backends.skypilot.settings import OneCluster
from pytest_clusterjobs.backends.skypilot.settings import SkyPilotSettings
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Resources

ONE = SkyPilotSettings(mode="cluster", cluster=OneCluster(name="c", nodes=2))


def problems_of(settings: SkyPilotSettings | None = None, **fields: Any) -> list[str]:
    return list(problems(JobSpec("true", **fields), settings or SkyPilotSettings()))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"options": {"run": "x"}}, "options.skypilot: run is set by the backend: use run"),
        ({"options": {"envs": {}}}, "envs is set by the backend: use env"),
        ({"options": {"resources": "x"}}, "resources must be a mapping, not 'x'"),
        (
            {"options": {"resources": {"job_recovery": {"recover_on_exit_codes": [1]}}}},
            "resources.job_recovery.recover_on_exit_codes is set by the backend: use max_restarts",
        ),
        (
            {"options": {"file_mounts": {"/out": {"source": "s3://b", "mode": "MOUNT_CACHED"}}}},
            "options.skypilot: file_mounts: /out: MOUNT_CACHED may lose the last writes of a job: use MOUNT",
        ),
        (
            {"env": {"SKYPILOT_NODE_RANK": "0"}},
            "env: SKYPILOT_NODE_RANK: SkyPilot reserves names that begin with SKYPILOT_",
        ),
        ({"resources": Resources(gpus=8)}, "resources.gpus: SkyPilot needs the type of the GPUs"),
    ],
)
def test_a_mistake_in_a_job_is_reported(fields: dict[str, Any], expected: str) -> None:
    (problem,) = problems_of(**fields)
    assert expected in problem


def test_the_task_of_the_site_settings_is_checked() -> None:
    (problem,) = problems_of(SkyPilotSettings(task={"num_nodes": 2}))
    assert problem == "task in the site settings: num_nodes is set by the backend: use nodes"


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        (
            {"options": {"setup": "make"}},
            "options.skypilot: setup has no effect on a job of a running cluster: use setup of the matrix",
        ),
        ({"options": {"file_mounts": {}}}, "options.skypilot: file_mounts has no effect on a job"),
    ],
)
def test_options_without_effect_on_a_cluster_are_rejected(fields: dict[str, Any], expected: str) -> None:
    (problem,) = problems_of(ONE, **fields)
    assert problem.startswith(expected)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"max_restarts": 1}, "does not start jobs again, max_restarts is 1: use mode = 'managed'"),
        (
            {"nodes": 4},
            "runs jobs of 2 nodes at most, not of 4 nodes: raise nodes of the cluster c in the site settings",
        ),
    ],
)
def test_a_job_beyond_the_limits_of_a_cluster_is_rejected(fields: dict[str, Any], expected: str) -> None:
    (found,) = excesses(JobSpec("true", **fields), capabilities(ONE), "dev")
    assert found.message().startswith(f"backend dev {expected}")
    assert list(excesses(JobSpec("true", **fields), capabilities(SkyPilotSettings()), "dev")) == []


def test_options_of_a_job_of_a_cluster_are_accepted(sky: None) -> None:
    options = {"workdir": ".", "resources": {"cpus": 2}}
    assert problems_of(ONE, nodes=2, options=options) == []


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"resources": {"infra": "no-such-cloud"}}, "no-such-cloud"),
        ({"resources": {"cpu": 3}}, "cpu"),
        ({"file_mounts": 3}, "file_mounts"),
    ],
)
def test_skypilot_itself_checks_the_task(sky: None, options: dict[str, Any], expected: str) -> None:
    (problem,) = problems_of(options=options)
    assert problem.startswith("options.skypilot: ") and expected in problem
    assert "\n" not in problem


def test_a_valid_job_has_no_problems(sky: None) -> None:
    options = {"resources": {"accelerators": "H100", "infra": "k8s", "job_recovery": "EAGER_NEXT_REGION"}}
    assert (
        problems_of(options=options, resources=Resources(cpus=4, memory=8 << 30, gpus=2), max_restarts=3)
        == []
    )


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"poll_interval": "5s"}, "poll_interval must be seconds, 0 to 3600, not '5s'"),
        ({"mode": "serve"}, "mode must be managed or cluster, not 'serve'"),
        ({"mode": "cluster"}, "mode = 'cluster' and cluster = {name = NAME} go together"),
        ({"cluster": {"name": "c"}}, "mode = 'cluster' and cluster = {name = NAME} go together"),
        ({"cluster": "c"}, "cluster must be a table, such as {name = 'dev', nodes = 2}, not 'c'"),
        (
            {"cluster": {"nodes": 2}},
            "cluster.name is not set: it must be a cluster's name: small letters, digits, - and .",
        ),
        ({"cluster": {"name": "a b"}}, "cluster.name must be a cluster's name"),
        (
            {"cluster": {"name": "c", "idle_minutes": 0}},
            "cluster.idle_minutes must be a whole number, 1 to 1440",
        ),
        (
            {"cluster": {"name": "c", "node": 2}},
            "unknown setting 'cluster.node', did you mean 'nodes'?",
        ),
        ({"state_dir": "here"}, "state_dir must be an absolute path"),
        ({"task": "x"}, "task must be a table"),
    ],
)
def test_an_invalid_setting_is_rejected(raw: dict[str, Any], expected: str) -> None:
    with pytest.raises(FaultySettings, match=re.escape(expected)):
        TYPE.validate(raw)
