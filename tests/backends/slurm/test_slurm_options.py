"""Options of sbatch and site settings: what is passed on, what is refused at collection and with which
advice."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.backends.settings import FaultySettings
from pytest_clusterjobs.backends.slurm import TYPE
from pytest_clusterjobs.backends.slurm.options import arguments
from pytest_clusterjobs.backends.slurm.options import OPTIONS
from pytest_clusterjobs.backends.slurm.options import OWN
from pytest_clusterjobs.backends.slurm.settings import SlurmSettings
from pytest_clusterjobs.matrix import load_matrix
from pytest_clusterjobs.matrix import MatrixErrors
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import Resources


def problems(**fields: Any) -> list[str]:
    return list(map(str, TYPE.check(JobSpec("true", **fields), SlurmSettings())))


def test_values_become_arguments() -> None:
    options = {
        "partition": ["a", "b"],
        "exclusive": True,
        "contiguous": False,
        "nice": 5,
        "extra_options": {"our-plugin": "x y"},
    }
    assert arguments(options) == ["--partition=a,b", "--exclusive", "--nice=5", "--our-plugin=x y"]


def test_a_plain_job_has_no_problems() -> None:
    assert problems() == []
    assert problems(options={"partition": "big", "qos": "high", "exclusive": True}) == []
    assert problems(options={"signal": "B:USR1@300"}) == []


@pytest.mark.parametrize("name", sorted(OWN))
def test_what_the_backend_sets_itself_is_refused_with_what_to_use_instead(name: str) -> None:
    (problem,) = problems(options={name: "x"})
    assert problem == f"options.slurm: {name} is set by the backend: {OWN[name]}"
    assert "\n" not in problem and len(OWN[name]) > 5


def test_extra_options_are_checked_too() -> None:
    assert problems(options={"extra_options": {"output": "/x"}}) == problems(options={"output": "/x"})
    assert "must be a mapping" in problems(options={"extra_options": "x"})[0]


@pytest.mark.parametrize(
    ("value", "message"), [("a\nb", "control character"), ({"a": 1}, "must be text"), (None, "must be text")]
)
def test_values_that_cannot_be_passed_on(value: Any, message: str) -> None:
    (problem,) = problems(options={"constraint": value})
    assert message in problem and "\n" not in problem


def test_an_option_that_duplicates_a_resource_is_rejected() -> None:
    (problem,) = problems(options={"mem": "4G"}, resources=Resources(memory=1 << 30))
    assert problem == "options.slurm: mem and resources.memory request the same: remove one of them"


def test_an_image_is_refused_with_advice() -> None:
    (problem,) = problems(image="ubuntu")
    assert "container-image" in problem and "pyxis" in problem


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"folder": "relative"}, "folder must be an absolute path"),
        ({"folder": 3}, "folder must be an absolute path"),
        ({"gpus_as": "magic"}, "gpus_as must be one of gpus-per-node, gres"),
        ({"poll_interval": 0}, "poll_interval must be 0.1 to 60 seconds"),
        ({"poll_interval": True}, "poll_interval must be 0.1 to 60 seconds"),
        ({"output": "/x"}, "^output is set by the backend: each node's output is kept as its log$"),
        ({"extra_options": {"output": "/x"}}, "^extra_options.output is set by the backend"),
        ({"extra_options": 3}, "^extra_options must be a mapping of options and their values, not 3$"),
        ({"constraint": "a\nb"}, r"^constraint has a control character: 'a\\nb'$"),
        ({"partiton": "x"}, "^unknown setting 'partiton', did you mean 'partition'\\?$"),
        ({"options": {"partition": "x"}}, "^unknown setting 'options'"),
    ],
)
def test_a_wrong_setting_is_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(FaultySettings, match=message) as caught:
        TYPE.validate(settings)
    assert len(caught.value.faults) == 1 and "\n" not in str(caught.value)


def test_all_wrong_settings_and_options_are_reported_together() -> None:
    with pytest.raises(FaultySettings) as caught:
        TYPE.validate({"folder": "relative", "partiton": "x", "time": "1:00", "poll_interval": "2s"})
    assert {".".join(map(str, each.path)) for each in caught.value.faults} == {
        "folder",
        "partiton",
        "time",
        "poll_interval",
    }


def test_every_other_key_is_a_default_for_the_options_of_sbatch() -> None:
    settings = TYPE.validate({"folder": "/shared", "partition": "big", "extra_options": {"our-plugin": "x"}})
    assert settings == SlurmSettings.model_validate(
        {"folder": Path("/shared"), "partition": "big", "extra_options": {"our-plugin": "x"}}
    )
    assert isinstance(settings, SlurmSettings)
    assert settings.options == {"partition": "big", "extra_options": {"our-plugin": "x"}}


def test_an_error_names_the_position_in_the_matrix(tmp_path: Path) -> None:
    path = tmp_path / "m.yaml"
    path.write_text(
        "backend: slurm\n"
        "recipes: {a: 'true'}\n"
        "nodes: [1]\n"
        "conditions: {c: {options: {slurm: {partiton: x}}}, d: {options: {slurm: {time: '10'}}}}\n"
    )
    with pytest.raises(MatrixErrors) as caught:
        load_matrix(path, rootdir=tmp_path, site=Site())
    text = str(caught.value)
    assert "options.slurm: unknown option 'partiton', did you mean 'partition'?" in text
    path.write_text(path.read_text().replace("partiton", "partition"))
    with pytest.raises(MatrixErrors, match=r"m\.yaml:4:.* time is set by the backend: use max_runtime"):
        load_matrix(path, rootdir=tmp_path, site=Site())


@pytest.mark.system
def test_every_long_option_of_the_sbatch_here_is_known(require: Callable[[str], str], tmp_path: Path) -> None:
    sbatch = require("sbatch")
    conf = tmp_path / "slurm.conf"
    conf.write_text("ClusterName=x\nSlurmctldHost=localhost\nNodeName=n\nPartitionName=p Nodes=n\n")
    text = subprocess.run(
        [sbatch, "--help"],
        env={"SLURM_CONF": str(conf), "PATH": str(Path(sbatch).parent)},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = {word.split("=")[0].split("[")[0].lstrip("-") for word in text.split() if word.startswith("--")}
    about_sbatch = {"help", "usage", "version", "verbose", "quiet", "export-file", "ignore-pbs"}
    mentioned = {word for word in found if word and word.isascii()}
    assert len(mentioned) > 90
    assert mentioned - OPTIONS - OWN.keys() - about_sbatch == set()
