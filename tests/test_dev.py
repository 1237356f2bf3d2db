"""``./dev``, run where `python3` is a script that records its calls."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NEEDED = ("sh", "dirname", "cat", "cmp", "rm", "mkdir", "ln", "chmod")
PYTHON = """\
#!/bin/sh
printf '%s|' "$@" >>"$LOG"; echo >>"$LOG"
case "$*" in
"-m venv"*) mkdir -p .venv/bin && ln -sf "$0" .venv/bin/python ;;
"-m pytest"*) exit "${PYTEST_CODE:-0}" ;;
"-m ruff check"*) exit "${RUFF_CODE:-0}" ;;
esac
"""


class Machine:
    """A checkout in a folder with a space, and a PATH with only what ``dev`` may require."""

    def __init__(self, folder: Path) -> None:
        self.log = folder / "log"
        self.bin = folder / "bin"
        self.bin.mkdir()
        for program in NEEDED:
            path = shutil.which(program)
            assert path is not None
            (self.bin / program).symlink_to(path)
        self.checkout = folder / "a checkout"
        self.checkout.mkdir()
        for name in ("dev", "pyproject.toml"):
            shutil.copy(ROOT / name, self.checkout)

    def install(self, python: str = PYTHON, name: str = "python3") -> None:
        (self.bin / name).write_text(python)
        (self.bin / name).chmod(0o755)

    def dev(self, *args: str, **env: str) -> subprocess.CompletedProcess[str]:
        self.log.write_text("")
        return subprocess.run(
            [str(self.checkout / "dev"), *args],
            env={"PATH": str(self.bin), "LOG": str(self.log)} | env,
            cwd="/",
            check=False,
            capture_output=True,
            text=True,
        )

    @property
    def calls(self) -> list[str]:
        """The calls of Python, without those that check its version."""
        return [line for line in self.log.read_text().splitlines() if not line.startswith("-c|")]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_only_the_first_call_installs(machine: Machine) -> None:
    machine.install()
    assert machine.dev("matrices").returncode == 0
    assert [call.split("|")[:3] for call in machine.calls] == [
        ["-m", "venv", f"{machine.checkout}/.venv"],
        ["-m", "pip", "install"],
        ["-m", "pytest", "-o"],
    ]

    again = machine.dev("matrices")

    assert (again.stdout, again.stderr) == ("", "")
    assert machine.calls == ["-m|pytest|-o|testpaths=matrices|--junitxml=report.xml|"]


@pytest.mark.parametrize("what", ["pyproject.toml", "moved"])
def test_it_installs_again_after_a_change_that_may_matter(machine: Machine, what: str) -> None:
    machine.install()
    machine.dev("matrices")
    if what == "moved":
        machine.checkout = machine.checkout.rename(machine.checkout.with_name("elsewhere"))
    else:
        (machine.checkout / what).write_text("[project]")
    machine.dev("matrices")
    assert "-m|pip|install|--quiet|--disable-pip-version-check|--editable|.[dev]|" in machine.calls


def test_a_failed_installation_is_repeated(machine: Machine) -> None:
    machine.install(PYTHON.replace("case", 'test "$3" = install && exit 1\ncase', 1))
    failed = machine.dev("matrices")
    assert (failed.returncode, "pip could not install" in failed.stderr) == (2, True)
    machine.install()
    assert machine.dev("matrices").returncode == 0
    assert any("|--editable|" in call for call in machine.calls)


def test_arguments_and_exit_codes_are_passed_on(machine: Machine) -> None:
    machine.install()
    assert machine.dev("matrices", "-k", "arena and 2n", "", PYTEST_CODE="5").returncode == 5
    assert machine.calls[-1].endswith("|-k|arena and 2n||")


def test_checks_run_first_and_tests_run_even_if_they_fail(machine: Machine) -> None:
    machine.install()
    run = machine.dev("test", "-x", RUFF_CODE="1")
    assert run.returncode == 1
    assert "FAILED: python -m ruff check" in run.stderr
    assert [call.split("|")[1] for call in machine.calls[-4:]] == ["ruff", "ruff", "mypy", "pytest"]
    assert machine.calls[-1] == "-m|pytest|-x|"
    assert machine.dev("test", PYTEST_CODE="2").returncode == 2


def test_without_arguments_every_test_is_run_once(machine: Machine) -> None:
    machine.install()
    assert machine.dev("test").returncode == 0
    assert machine.calls[-2:] == [
        "-m|pytest|-n|6|--dist|worksteal|-m|not quiet|",
        "-m|pytest|-n|3|--dist|worksteal|-m|quiet|",
    ]


def test_a_python_that_is_too_old_is_skipped(machine: Machine) -> None:
    machine.install("#!/bin/sh\nexit 1\n")
    machine.install(name="python3.12")
    assert machine.dev("matrices").returncode == 0


def test_a_missing_python_is_reported_with_what_to_install(machine: Machine) -> None:
    run = machine.dev("test")
    assert run.returncode == 2
    assert "no Python 3.11 or newer on PATH" in run.stderr
    assert "apt install python3 python3-venv" in run.stderr


def test_an_installed_pip_replaces_ensurepip(machine: Machine) -> None:
    machine.install(PYTHON.replace("case", 'test "$2 $3" = "venv $PWD/.venv" && exit 1\ncase', 1))
    assert machine.dev("matrices").returncode == 0
    assert any(call.startswith("-m|venv|--clear|--without-pip|") for call in machine.calls)


def test_a_missing_pip_is_reported_with_what_to_install(machine: Machine) -> None:
    machine.install(PYTHON.replace("case", 'test "$1" = -m && exit 1\ncase', 1))
    run = machine.dev("matrices")
    assert run.returncode == 2
    assert "apt install python3-venv" in run.stderr
    assert not (machine.checkout / ".venv").exists()


@pytest.mark.parametrize("args", [(), ("tests",), ("--help",)])
def test_other_arguments_print_the_usage(machine: Machine, args: tuple[str, ...]) -> None:
    run = machine.dev(*args)
    assert (run.returncode, run.stderr) == (2, "dev: usage: ./dev matrices|test [pytest arguments]\n")


def test_a_program_named_in_CLUSTERJOBS_REQUIRE_must_exist(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytester.makeconftest((ROOT / "conftest.py").read_text())
    pytester.makepyfile("def test_a_program(require): require('no-such-program')")
    pytester.runpytest().assert_outcomes(skipped=1)
    monkeypatch.setenv("CLUSTERJOBS_REQUIRE", "busybox,no-such-program")
    pytester.runpytest().assert_outcomes(errors=0, failed=1)
