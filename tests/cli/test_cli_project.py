"""The command and pytest agree on the project, its runs and its backends, and messages name them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.cli.test_cli_hints import pasted
from tests.cli.test_cli_hints import shell

if TYPE_CHECKING:
    from tests.cli.conftest import Place

ENDED = '{recipes: {a: "true"}, nodes: [1], conditions: {one: {}, two: {}}}'

INI = {
    "pytest.ini": "",
    ".pytest.ini": "[pytest]\n",
    "pytest.toml": "[pytest]\n",
    "pyproject.toml": "[tool.pytest.ini_options]\n",
    "tox.ini": "[pytest]\n",
    "setup.cfg": "[tool:pytest]\n",
    "setup.py": "",
}
"""What makes a folder pytest's rootdir."""

NO_INI = {"pyproject.toml": "[tool.x]\n", "tox.ini": "[tox]\n", "setup.cfg": "[metadata]\n", ".git": ""}
"""What does not, or does only where nothing else is above."""


def rootdir_of_pytest(place: Place, cwd: Path, *arguments: str) -> Path:
    done = shell(f"{sys.executable} -m pytest --collect-only {' '.join(arguments)}", cwd)
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("rootdir: "))
    return Path(line.removeprefix("rootdir: "))


def missed(place: Place, cwd: Path, *arguments: str) -> str:
    """What the command says where there are no runs."""
    done = place.command(*arguments, "runs", cwd=cwd)
    assert done.returncode == 4, done.stdout
    (line,) = done.stderr.splitlines()
    return line


@pytest.mark.parametrize("name", INI)
def test_the_project_is_pytests_rootdir(place: Place, name: str) -> None:
    """From a folder below, and with runs of another project above."""
    (place.path / ".clusterjobs" / "runs").mkdir(parents=True)
    project = place.path / "project"
    below = project / "matrices"
    below.mkdir(parents=True)
    (project / name).write_text(INI[name])
    if name == "setup.py":
        (place.path / "pytest.ini").unlink()
    assert rootdir_of_pytest(place, below) == project
    line = missed(place, below)
    assert line.startswith(
        f"clusterjobs: no runs in {project}/.clusterjobs/runs; to see those of {place.path}, write "
    )
    assert line.endswith(f"clusterjobs --rootdir {place.path}")


@pytest.mark.parametrize("name", NO_INI)
def test_a_folder_that_pytest_skips_is_not_a_project(place: Place, name: str) -> None:
    below = place.path / "below"
    below.mkdir()
    (below / name).write_text(NO_INI[name])
    assert rootdir_of_pytest(place, below) == place.path
    assert f"no runs in {place.path}/.clusterjobs/runs" in missed(place, below)


def test_without_any_ini_file_it_is_the_current_folder_even_below_runs(place: Place) -> None:
    place.matrix(ENDED)
    assert place.pytest() == 0
    (place.path / "pytest.ini").unlink()
    below = place.path / "matrices"
    assert rootdir_of_pytest(place, below) == below
    assert f"no runs in {below}/.clusterjobs/runs; to see those of {place.path}, " in missed(place, below)
    error = place.command("show", "*", cwd=below).stderr.rstrip()
    assert shell(f"{error.partition(' write ')[2]} show '*'", below).returncode == 0


def test_rootdir_and_config_file_mean_what_they_mean_to_pytest(place: Place) -> None:
    other = place.path / "other"
    other.mkdir()
    (other / "my.ini").write_text("[pytest]\ncluster_dir = kept\n")
    for words, project in (
        (["--rootdir=other"], other),
        (["-c", "other/my.ini"], other),
        (["--config-file=other/my.ini", "--rootdir=."], place.path),
    ):
        assert rootdir_of_pytest(place, place.path, *words) == project
    assert f"no runs in {other}/.clusterjobs/runs" in missed(place, place.path, "--rootdir=other")
    error = missed(place, place.path, "-c", "other/my.ini")
    assert f"no runs in {other}/kept/other-" in error
    assert f"(project {other}; cluster_dir in {other}/my.ini names the folder)" in error


@pytest.mark.parametrize("words", ["--rootdir=other", "-c other/pytest.ini"])
def test_check_uses_the_same_project(place: Place, words: str) -> None:
    """pytest by itself would look for an ini file where it is started, and not in rootdir."""
    place.matrix(ENDED, "other/of its own/m.yaml")
    (place.path / "other" / "pytest.ini").write_text(
        "[pytest]\ncluster_matrices = of*/*\ncluster_dir = kept\n"
    )
    launched = place.command(*words.split(), "launch", cwd=place.path)
    assert "2 pending" in launched.stdout, launched.stdout
    assert not (place.path / ".clusterjobs").exists() and (place.path / "other/kept").is_dir()
    checked = place.command(*words.split(), "check", "--wait")
    assert "2 passed" in checked.stdout, checked.stdout
    assert place.command("runs", cwd=place.path / "other").returncode == 0


def test_validate_and_plan_use_the_project_of_their_paths(place: Place) -> None:
    """Whatever runs lie above."""
    (place.path / ".clusterjobs" / "runs").mkdir(parents=True)
    place.matrix(ENDED, "w/matrices/m.yaml")
    (place.path / "w" / "pytest.ini").write_text("[pytest]\n")
    for cwd, path in (("w", "matrices"), (".", "w/matrices"), ("w/matrices", ".")):
        done = place.command("validate", path, cwd=place.path / cwd)
        assert done.stdout == "2 cells in 1 matrix\n", done.stderr
        assert "2 jobs" in place.command("plan", path, cwd=place.path / cwd).stdout


def test_a_folder_without_a_matrix_is_named_with_the_patterns_and_the_project(place: Place) -> None:
    place.matrix(ENDED, "here/m.yaml")
    done = place.command("validate", "here")
    assert done.returncode == 4
    assert done.stderr == (
        "clusterjobs: no file in here matches cluster_matrices (matrices/**/*.yaml, matrices/**/*.yml) below "
        f"{place.path}, the project that pytest finds (--rootdir or -c selects another)\n"
    )
    assert f"no cell is selected in the project {place.path}: " in place.command("plan", "here").stderr


@pytest.mark.parametrize(
    "ini",
    [
        "pytest",
        "[pytest]\naddopts = 'no end\n",
        "[pytest]\naddopts = -c\n",
        "[pytest]\ncluster_dir = $NO_X\n",
    ],
)
def test_an_invalid_ini_file_is_an_error_of_one_line(place: Place, ini: str) -> None:
    (place.path / "pytest.ini").write_text(ini)
    done = place.command("runs")
    assert done.returncode == 3
    (line,) = done.stderr.splitlines()
    assert line.startswith("clusterjobs: ") and str(place.path / "pytest.ini") in line


def test_commands_without_a_project_need_none(place: Place) -> None:
    (place.path / "pytest.ini").write_text("pytest")
    assert place.command("schema").returncode == 0
    assert place.command("dev", "--help").returncode == 0


@pytest.mark.parametrize("command", ["show", "logs", "watch", "kill"])
@pytest.mark.parametrize("runs", [False, True])
def test_an_unknown_backend_is_an_error_that_lists_the_backends(
    place: Place, ended: Place, command: str, runs: bool
) -> None:
    where = ended if runs else place
    done = where.command(command, "nowhere:17")
    assert done.returncode == 4
    assert done.stdout == ""
    assert done.stderr == (
        "clusterjobs: there is no backend 'nowhere': write one of aws-batch, local, skypilot, slurm before "
        f"the colon, or add [tool.clusterjobs.backends.nowhere] to {where.path}/pyproject.toml\n"
    )


def test_each_fault_of_a_backend_s_settings_is_a_line_of_its_own(place: Place) -> None:
    (place.path / "pyproject.toml").write_text(
        '[tool.clusterjobs.backends.mine]\ntype = "slurm"\npartiton = "x"\npoll_interval = "\\u001b[2J"\n'
    )
    place.matrix("{recipes: {a: x}, nodes: [1], conditions: {c: {}}}")
    where = "[tool.clusterjobs.backends.mine]"
    faults = [
        f"pyproject.toml:3: {where}: unknown setting 'partiton', did you mean 'partition'?",
        f"pyproject.toml:4: {where}: poll_interval must be 0.1 to 60 seconds, not '\\x1b[2J'",
    ]
    done = place.command("show", "mine:17")
    assert (done.returncode, done.stdout) == (3, "")
    assert done.stderr.splitlines() == [f"clusterjobs: {faults[0]}", f"  {faults[1]}"]
    done = place.command("plan", "--backend", "mine")
    assert all(fault in done.stderr + done.stdout for fault in faults)


def test_kill_takes_runs_and_not_jobs(ended: Place) -> None:
    done = ended.command("kill", "local:17")
    assert done.returncode == 2
    assert "local:17 is a job of local, not a run: " in done.stderr
    assert "clusterjobs kill RUN --cell CELL" in done.stderr


def test_a_node_id_is_not_a_job_of_a_backend(ended: Place) -> None:
    assert ended.command("show", "matrices/m.yaml::a-1n-good").returncode == 0


def test_printed_commands_select_the_same_folder(
    place: Place, tmp_path_factory: pytest.TempPathFactory
) -> None:
    place.matrix(ENDED)
    folder = tmp_path_factory.mktemp("its runs") / "a b"
    launched = place.command("--cluster-dir", str(folder), "launch")
    assert "2 pending" in launched.stdout, launched.stdout
    assert not (place.path / ".clusterjobs").exists()
    watched = shell(f"clusterjobs --cluster-dir '{folder}' watch", place.path)
    words = "all jobs have ended, 2 are not judged yet; judge with: "
    assert f"{words}clusterjobs --cluster-dir '{folder}' check" in watched.stdout
    assert "2 passed" in pasted(watched.stdout, words, place.path).stdout
    asked = shell(f"clusterjobs --cluster-dir='{folder}' gc --keep 0", place.path)
    assert pasted(asked.stdout, "; remove them with: ", place.path).returncode == 0
