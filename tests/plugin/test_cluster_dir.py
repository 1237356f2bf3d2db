"""Runs in a folder of the user's choice: the checkout stays as it is, and several projects share the
folder."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path

import pytest

from pytest_clusterjobs.ledger.home import Home
from pytest_clusterjobs.ledger.ledger import LedgerError
from tests.cli.conftest import COMMAND
from tests.cli.conftest import PYTEST
from tests.mounts import read_only
from tests.plugin.test_leaks import of_project
from tests.plugin.test_leaks import until

NOBODY = 65534

ENDED = '{recipes: {a: "true"}, nodes: [1], conditions: {one: {}, two: {}}}\n'

SLEEPERS = '{recipes: {a: "exec sleep 300"}, nodes: [1], conditions: {one: {}, two: {}}}\n'

BY_HAND = "def test_job(clusterjobs):\n    assert clusterjobs.run('true').exit_code == 0\n"

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


class Checkout:
    """A project in which pytest and the command run as real processes, and a folder beside it for its
    runs."""

    def __init__(self, path: Path, beside: Path) -> None:
        self.path = path
        self.beside = beside
        path.mkdir(parents=True)
        self.write("pytest.ini", "[pytest]\n")
        self.write("matrices/m.yaml", ENDED)

    def write(self, name: str, text: str) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def start(self, *words: str, env: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        return subprocess.Popen(
            words,
            cwd=self.path,
            env={**kept, "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "200", **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, code: int = 0, env: Mapping[str, str] | None = None) -> str:
        """What a command says; ``code`` is what it exits with."""
        process = self.start(*words, env=env)
        said = process.communicate(timeout=120)[0]
        assert process.returncode == code, said
        return said

    def pytest(self, *arguments: str, code: int = 0, env: Mapping[str, str] | None = None) -> str:
        return self.run(*PYTEST, *arguments, code=code, env=env)

    def command(self, *arguments: str, code: int = 0, env: Mapping[str, str] | None = None) -> str:
        return self.run(*COMMAND, *arguments, code=code, env=env)

    def files(self) -> set[Path]:
        return {path.relative_to(self.path) for path in self.path.rglob("*")}

    def ledgers(self, folder: Path | None = None) -> list[Path]:
        return sorted((folder or self.beside).glob("*/runs/*/ledger.sqlite"))


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path / "proj", tmp_path / "its runs")


@pytest.fixture
def written_nowhere(checkout: Checkout) -> Iterator[Checkout]:
    """A checkout that is as it was when the test ends, and behind a mount that takes no writes where that
    can be had."""
    before = checkout.files()
    if os.geteuid() == 0:
        with read_only(checkout.path):
            yield checkout
    else:
        yield checkout
    assert checkout.files() == before


def test_every_mode_leaves_a_checkout_as_it_is(written_nowhere: Checkout) -> None:
    project, option = written_nowhere, f"--cluster-dir={written_nowhere.beside}"
    assert "2 passed" in project.pytest(option)
    assert "2 pending" in project.pytest(option, "--cluster-launch")
    assert "2 passed" in project.pytest(option, "--cluster-check", "--cluster-check-wait")
    assert "2 passed" in project.pytest(option, "--cluster-resume")
    assert "no live jobs" in project.command(option, "kill")
    assert len(project.ledgers()) == 2
    assert len(json.loads(project.command(option, "runs", "--json"))) == 2
    for words in (["show", "a-1n-one"], ["logs", "a-1n-one"], ["report", "--junit=-"], ["rejudge"], ["kill"]):
        project.command(option, *words)
    project.command(option, "sweep")
    project.command(option, "gc", "--keep=0", "--yes")
    assert project.ledgers() == []


def test_workers_of_xdist_write_nothing_there(checkout: Checkout) -> None:
    checkout.write("test_hand.py", BY_HAND)
    before = checkout.files()
    assert "3 passed" in checkout.pytest("-n2", f"--cluster-dir={checkout.beside}")
    assert "1 passed" in checkout.pytest("-n2", f"--cluster-dir={checkout.beside}", "test_hand.py")
    assert len(checkout.ledgers()) == 2
    assert checkout.files() == before


def test_the_reaper_of_a_killed_session_and_a_resume_write_nothing_there(checkout: Checkout) -> None:
    checkout.write("matrices/m.yaml", SLEEPERS)
    before = checkout.files()
    process = checkout.start(*PYTEST, env={"CLUSTERJOBS_DIR": str(checkout.beside)})
    until(lambda: sum(line.split()[1:] == ["sleep", "300"] for line in of_project(checkout.path)) == 2, 60)
    process.kill()
    process.communicate()
    until(lambda: not of_project(checkout.path.parent), 60)
    assert "session died" in checkout.command("runs", env={"CLUSTERJOBS_DIR": str(checkout.beside)})
    resumed = checkout.start(*PYTEST, "--cluster-resume", env={"CLUSTERJOBS_DIR": str(checkout.beside)})
    until(lambda: sum(line.split()[1:] == ["sleep", "300"] for line in of_project(checkout.path)) == 2, 60)
    resumed.send_signal(signal.SIGINT)
    assert "continue with: " in resumed.communicate(timeout=60)[0]
    until(lambda: not of_project(checkout.path.parent), 60)
    assert checkout.files() == before


def test_jobs_from_python_without_pytest(checkout: Checkout) -> None:
    checkout.write("pytest.ini", "[pytest]\ncluster_dir = ../its runs\n")
    checkout.write(
        "jobs.py",
        "from pytest_clusterjobs import open_backend\n"
        "with open_backend('local') as backend:\n    backend.run('true')\n",
    )
    before = checkout.files()
    checkout.run(sys.executable, "jobs.py")
    assert len(checkout.ledgers()) == 1
    assert checkout.files() == before


def test_option_over_variable_over_ini(checkout: Checkout, tmp_path: Path) -> None:
    """Each is relative to where it is written: a command line to the current folder, an ini file to its
    own."""
    checkout.write("pytest.ini", "[pytest]\ncluster_dir = by-ini\n")
    below = checkout.path / "matrices"
    checkout.pytest("matrices", "--rootdir=.")
    assert len(checkout.ledgers(checkout.path / "by-ini")) == 1
    by_variable = {"CLUSTERJOBS_DIR": "by-variable"}
    ran = [
        sys.executable,
        "-c",
        f"import os, sys; os.chdir({str(below)!r}); os.execv(sys.argv[1], sys.argv[1:])",
    ]
    checkout.run(*ran, *PYTEST, env=by_variable)
    assert len(checkout.ledgers(below / "by-variable")) == 1
    checkout.run(*ran, *PYTEST, "--cluster-dir=by-option", env=by_variable)
    assert len(checkout.ledgers(below / "by-option")) == 1
    checkout.run(*ran, *PYTEST, env={"CLUSTERJOBS_DIR": ""})
    assert len(checkout.ledgers(checkout.path / "by-ini")) == 2
    assert not (checkout.path / ".clusterjobs").exists()
    # The command goes by the same rules.
    for words, variables, number in (
        ([], {}, 2),
        ([], {"CLUSTERJOBS_DIR": "matrices/by-variable"}, 1),
        (["--cluster-dir=matrices/by-option"], {"CLUSTERJOBS_DIR": "nothing"}, 1),
    ):
        assert len(json.loads(checkout.command(*words, "runs", "--json", env=variables))) == number


@pytest.mark.parametrize(
    "text",
    ["~/its runs", "$HOME/its runs", "${HOME}/its runs"],
)
@pytest.mark.parametrize("how", ["option", "variable", "ini", "addopts", "PYTEST_ADDOPTS"])
def test_a_tilde_and_variables_are_expanded(checkout: Checkout, text: str, how: str) -> None:
    home = {"HOME": str(checkout.path.parent)}
    words, variables, ini = {
        "option": ([f"--cluster-dir={text}"], {}, ""),
        "variable": ([], {"CLUSTERJOBS_DIR": text}, ""),
        "ini": ([], {}, f"cluster_dir = {text}\n"),
        "addopts": ([], {}, f'addopts = "--cluster-dir={text}"\n'),
        "PYTEST_ADDOPTS": ([], {"PYTEST_ADDOPTS": f"'--cluster-dir={text}'"}, ""),
    }[how]
    checkout.write("pytest.ini", f"[pytest]\n{ini}")
    checkout.pytest("--cluster-launch", *words, env=home | variables)
    assert len(checkout.ledgers()) == 1
    checkout.command(*words, "check", "--wait", env=home | variables)
    assert "ended" in checkout.command(*words, "runs", env=home | variables)


@pytest.mark.parametrize("text", ["~no-such-user/runs", "$NO_SUCH_VARIABLE/runs", "/tmp/${NO_SUCH_VARIABLE}"])
def test_what_cannot_be_expanded_is_no_folder_of_that_name(checkout: Checkout, text: str) -> None:
    said = checkout.pytest(env={"CLUSTERJOBS_DIR": text}, code=4)
    assert f"ERROR: CLUSTERJOBS_DIR: {text!r} has a variable or a user that is unknown here" in said
    assert f"clusterjobs: CLUSTERJOBS_DIR: {text!r}" in checkout.command(
        "runs", env={"CLUSTERJOBS_DIR": text}, code=3
    )
    assert "--cluster-dir: name a folder" in checkout.pytest("--cluster-dir=", code=4)


def test_projects_that_share_a_folder_do_not_see_each_others_runs(tmp_path: Path) -> None:
    one, other = (Checkout(tmp_path / where / "proj", tmp_path / "shared") for where in ("here", "there"))
    shared = {"CLUSTERJOBS_DIR": str(tmp_path / "shared")}
    other.write("matrices/m.yaml", ENDED.replace("two", "three"))
    one.pytest(env=shared)
    other.pytest(env=shared)
    other.pytest(env=shared)
    runs = [json.loads(each.command("runs", "--json", env=shared)) for each in (one, other)]
    assert list(map(len, runs)) == [1, 2]
    assert "a-1n-two" in one.command("show", "*", env=shared)
    assert "a-1n-three" in other.command("show", "*", env=shared)
    assert "a-1n-two" in one.pytest("--cluster-check", "-v", env=shared)
    assert {path.name.rpartition("-")[0] for path in (tmp_path / "shared").iterdir()} == {"proj"}


def test_a_link_to_a_project_is_the_same_project(checkout: Checkout, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(checkout.path)
    folder = tmp_path / "runs"
    names = {
        Home.in_shared_folder(folder, rootdir, "").path for rootdir in (checkout.path, tmp_path / "link")
    }
    assert len(names) == 1


@pytest.mark.parametrize("name", ["", "a b\n'$(x)", "x" * 255, "\udcff", "-rf", "..."])
def test_any_project_has_a_readable_name(name: str) -> None:
    home = Home.in_shared_folder(Path("/runs"), Path("/", name), "")
    assert home.path.parent == Path("/runs")
    assert home.path.name.isascii() and home.path.name.isprintable() and len(home.path.name) < 60


def test_the_folder_is_for_its_user_alone(checkout: Checkout) -> None:
    folder = checkout.beside / "made" / "for it"
    checkout.pytest(f"--cluster-dir={folder}")
    (home,) = folder.iterdir()
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, home)] == [0o700, 0o700]
    assert (home / ".gitignore").read_text() == "*\n"


@needs_root
@pytest.mark.parametrize("whose", ["folder", "part", "target"])
@pytest.mark.parametrize("more", [[], ["-n2"]], ids=str)
def test_a_folder_of_another_user_is_refused(checkout: Checkout, whose: str, more: list[str]) -> None:
    folder = checkout.beside
    home = Home.in_shared_folder(folder, checkout.path, "")
    given = {"folder": folder, "part": home.path, "target": checkout.path.parent / "theirs"}[whose]
    given.mkdir(parents=True)
    if whose == "target":
        folder.symlink_to(given)
    os.chown(given, NOBODY, NOBODY)
    said = checkout.pytest(f"--cluster-dir={folder}", *more, code=4)
    (line,) = (line for line in said.splitlines() if line.startswith("ERROR: "))
    assert line.startswith(
        f"ERROR: --cluster-dir: {folder if whose == 'target' else given} belongs to another user"
    )
    assert "name a folder that belongs to you, or set CLUSTERJOBS_SAFE_DIRECTORY=" in line
    assert list(given.iterdir()) == []
    checkout.pytest(f"--cluster-dir={folder}", *more, env={"CLUSTERJOBS_SAFE_DIRECTORY": str(given)})


@pytest.mark.parametrize("how", ["option", "variable", "ini"])
@pytest.mark.parametrize("more", [[], ["-n2"], ["-n2", "test_hand.py"], ["--cluster-launch"]], ids=str)
def test_a_folder_that_cannot_be_made_is_named_with_the_setting(
    checkout: Checkout, how: str, more: list[str]
) -> None:
    checkout.beside.write_text("a file")
    checkout.write("test_hand.py", BY_HAND)
    folder = str(checkout.beside / "below")
    source = {"option": "--cluster-dir", "variable": "CLUSTERJOBS_DIR", "ini": "cluster_dir"}[how]
    if how == "ini":
        checkout.write("pytest.ini", f"[pytest]\ncluster_dir = {folder}\n")
        source += f" in {checkout.path / 'pytest.ini'}"
    before = checkout.files()
    words = [f"--cluster-dir={folder}"] if how == "option" else []
    said = checkout.pytest(
        *words, *more, code=4, env={"CLUSTERJOBS_DIR": folder} if how == "variable" else {}
    )
    assert f"{source}: {folder}: Not a folder: name a folder that you can write to" in said
    assert "INTERNALERROR" not in said and "Traceback" not in said
    assert checkout.files() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="takes a mount")
@pytest.mark.parametrize("more", [[], ["-n2"], ["-n2", "test_hand.py"]], ids=str)
def test_a_read_only_checkout_says_what_to_write(checkout: Checkout, more: list[str]) -> None:
    checkout.write("test_hand.py", BY_HAND)
    with read_only(checkout.path):
        said = checkout.pytest(*more, code=4)
    assert (
        f"{checkout.path}/.clusterjobs: Read-only file system: name a folder for the runs with --cluster-dir=DIR"
        in said
    )
    assert "INTERNALERROR" not in said and "Traceback" not in said


@pytest.mark.skipif(os.geteuid() != 0, reason="takes a mount")
def test_a_folder_that_became_read_only_is_found_out_before_the_ledger_is(checkout: Checkout) -> None:
    home = Home.in_shared_folder(checkout.beside, checkout.path, "--cluster-dir")
    home.make()
    with (
        read_only(checkout.beside),
        pytest.raises(LedgerError, match=r"^--cluster-dir: .* name a folder that"),
    ):
        home.make()


def test_a_hint_keeps_the_option_and_can_be_pasted(checkout: Checkout) -> None:
    said = checkout.pytest("--cluster-launch", f"--cluster-dir={checkout.beside}")
    (line,) = (line for line in said.splitlines() if "judge them with: " in line)
    command = line.partition("judge them with: ")[2]
    assert f"'--cluster-dir={checkout.beside}'" in command
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    assert "2 passed" in checkout.run("sh", "-c", f"{command} --cluster-check-wait", env={"PATH": path})


@pytest.mark.parametrize("how", ["command line", "PYTEST_ADDOPTS"])
def test_a_folder_in_a_word_of_its_own_is_refused(checkout: Checkout, how: str) -> None:
    """pytest takes it for a path of which rootdir depends, as soon as it is there."""
    checkout.beside.mkdir()
    words = ["--cluster-dir", str(checkout.beside)]
    said = (
        checkout.pytest(*words, code=4)
        if how == "command line"
        else checkout.pytest(code=4, env={"PYTEST_ADDOPTS": f"{words[0]} '{words[1]}'"})
    )
    assert "ERROR: write --cluster-dir=DIR: without = pytest takes DIR for a path to tests" in said


def test_a_failure_names_the_folder_in_its_command(checkout: Checkout) -> None:
    checkout.write("matrices/m.yaml", ENDED.replace("two: {}", "two: {run: exit 3}"))
    said = checkout.pytest("-n2", "--cluster-dir=../its runs", code=1)
    assert "'--cluster-dir=../its runs' matrices/m.yaml::a-1n-two" in said
