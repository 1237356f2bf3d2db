"""The status line, on the screen of a terminal emulator: it overwrites nothing, and nothing of it is left."""

from __future__ import annotations

import importlib.util
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.plugin.screens import assert_apart
from tests.plugin.screens import OFTEN
from tests.plugin.screens import STATUS
from tests.plugin.screens import Terminal

if TYPE_CHECKING:
    from tests.plugin.conftest import Project

pytestmark = pytest.mark.quiet

MATRIX = """
recipes: {a: 'sleep $S; exit ${CODE:-0}'}
nodes: [1]
conditions:
  c0: {env: {S: 0.1}}
  c1: {env: {S: 0.4, CODE: 3}}
  c2: {env: {S: 0.7}}
  c3: {env: {S: 1.0}}
"""

PYTHON = """
def test_one():
    print("test_one says")
    print("half a line", end="")

def test_two():
    pass
"""

PLAIN = ["-p", "no:sugar"]


@pytest.fixture
def shown(project: Project) -> Project:
    """A project whose jobs end one after the other, with a status line at every turn."""
    project.ini()
    project.matrix(MATRIX)
    (project.path / "pyproject.toml").write_text("[tool.clusterjobs.backends.local]\nslots = 16\n")
    project.pytester.makepyfile(test_py=PYTHON)
    project.pytester.makeconftest(OFTEN)
    return project


@pytest.mark.parametrize(
    ("columns", "rows"), [(60, 200), (80, 200), (80, 10), (200, 200)], ids=["60", "80", "10 rows", "200"]
)
def test_dots_go_on_where_they_were(shown: Project, columns: int, rows: int) -> None:
    session = Terminal(columns, rows).run(shown.path, *PLAIN)
    assert_apart(session)
    assert session.code == pytest.ExitCode.TESTS_FAILED
    assert "test_py.py .." in session.final
    assert session.row(".F..") == ".F..".ljust(columns - 8) + " [100%]"


@pytest.mark.parametrize("columns", [60, 200])
@pytest.mark.parametrize("order", ["completion", "file"])
def test_node_ids_of_verbose_are_whole(shown: Project, columns: int, order: str) -> None:
    session = Terminal(columns).run(shown.path, *PLAIN, "-v", f"--cluster-order={order}", "matrices")
    assert_apart(session)
    for number, (cell, word) in enumerate(
        [("c0", "PASSED"), ("c1", "FAILED"), ("c2", "PASSED"), ("c3", "PASSED")], 1
    ):
        text = f"matrices/m.yaml::a-1n-{cell} {word}"
        assert session.row(text) == text.ljust(columns - 8) + f" [{25 * number:3}%]"


@pytest.mark.parametrize(
    "arguments",
    [["-x"], ["--color=yes"], ["--color=no"], ["-rA"], ["-vv"], ["--cluster-order=file"]],
    ids=str,
)
def test_modes(shown: Project, arguments: list[str]) -> None:
    session = Terminal().run(shown.path, *PLAIN, *arguments)
    assert_apart(session)
    assert session.code == pytest.ExitCode.TESTS_FAILED


def test_quiet_has_none(shown: Project) -> None:
    session = Terminal().run(shown.path, *PLAIN, "-q")
    assert not session.drawn
    assert session.row("...F..").endswith("[100%]")


def test_no_color(shown: Project) -> None:
    session = Terminal().run(shown.path, *PLAIN, environment={"NO_COLOR": "1"})
    assert_apart(session)
    assert not re.search(rb"\x1b\[[0-9;]*m", session.data)


@pytest.mark.parametrize("verbose", [[], ["-v"]], ids=str)
def test_under_xdist_there_is_one(shown: Project, verbose: list[str]) -> None:
    session = Terminal().run(shown.path, *PLAIN, "-n2", *verbose, "matrices")
    assert session.drawn
    assert not [row for row in session.final if STATUS.search(row)]
    # xdist rewrites rows of its own before the first report.
    begin = next(number for number, row in enumerate(session.final) if re.match(r"\d workers \[", row))
    for *above, status in session.drawn:
        assert STATUS.match(status)
        for then, now in zip(above[begin + 1 :], session.final[begin + 1 :], strict=False):
            assert now.startswith(then)
    if verbose:
        assert {row[13:] for row in session.final if row.startswith("[gw") and "%]" in row} == {
            f"{'FAILED' if cell == 'c1' else 'PASSED'} matrices/m.yaml::a-1n-{cell}"
            for cell in ("c0", "c1", "c2", "c3")
        }
    else:
        assert session.row(".F").endswith("[100%]")


WRITERS = {
    "fixture": """
import pytest

@pytest.fixture(autouse=True)
def writes(request):
    print(f"<{request.node.name} begins", end="")
    yield
    print(" ends>", end="")
""",
    "thread": """
import threading, time, pytest

def write():
    for number in range(8):
        print(f"line {number} of a thread")
        time.sleep(0.1)

def pytest_runtest_setup(item):
    if item.name == "test_two":
        threading.Thread(target=write).start()
""",
    "stderr": """
import sys, threading, time, pytest

def write():
    for number in range(8):
        sys.stderr.write(f"line {number} of a thread\\n")
        time.sleep(0.1)

def pytest_runtest_setup(item):
    if item.name == "test_two":
        threading.Thread(target=write).start()
""",
}


@pytest.mark.parametrize("writer", WRITERS)
def test_what_tests_write_without_capture_is_whole(shown: Project, writer: str) -> None:
    shown.pytester.makeconftest(OFTEN + WRITERS[writer])
    session = Terminal(rows=24).run(shown.path, *PLAIN, "-s")
    assert_apart(session)
    assert "test_one says" in session.text
    if writer == "fixture":
        for cell in ("c0", "c1", "c2", "c3"):
            word = "F" if cell == "c1" else "."
            assert f"<a-1n-{cell} begins ends>{word}" in "".join(session.final)
    else:
        for number in range(8):
            # print writes a line's end by itself: a letter of pytest's may come before it.
            line = rf"(^|[.F ]|half a line)line {number} of a thread[.F]?$"
            assert re.search(line, session.text, re.MULTILINE), session.text


@pytest.mark.parametrize("verbose", [[], ["-v"]], ids=str)
def test_live_logging_of_a_thread(shown: Project, verbose: list[str]) -> None:
    shown.pytester.makeconftest(
        OFTEN
        + WRITERS["thread"]
        .replace("print(", "logging.getLogger('other').warning(")
        .replace("import ", "import logging, ", 1)
    )
    session = Terminal().run(shown.path, *PLAIN, "-o", "log_cli=true", "--log-cli-level=INFO", *verbose)
    assert_apart(session)
    for number in range(8):
        assert re.search(
            rf"WARNING +other:conftest.py:\d+ line {number} of a thread$", session.text, re.MULTILINE
        )


def test_pytest_sugar(shown: Project) -> None:
    if importlib.util.find_spec("pytest_sugar") is None:
        pytest.skip("pytest-sugar is not installed")
    session = Terminal().run(shown.path)
    assert session.drawn
    assert not [row for row in session.final if STATUS.search(row)]
    assert all(STATUS.match(rows[-1]) for rows in session.drawn)
    assert re.search(r"^ matrices/m.yaml .✓✓ +100% ██████████$", session.text, re.MULTILINE)


@pytest.mark.parametrize("columns", [20, 45, 150])
def test_the_line_fits_a_terminal_that_is_resized(shown: Project, columns: int) -> None:
    def resize(terminal: Terminal, pid: int, draws: int) -> None:
        if draws == 2:
            terminal.resize(columns, 200)

    session = Terminal().run(shown.path, *PLAIN, meanwhile=resize)
    assert len(session.drawn) > 4
    assert not [row for row in session.final if STATUS.search(row)]
    for rows in session.drawn:
        assert re.match(r"clusterjobs: \d ", rows[-1])
        assert sum("clusterjobs:" in row for row in rows) == 1
        assert rows[-2] == "" or re.fullmatch(r"[.F]+", rows[-2])


def test_enter_leaves_no_stale_line(shown: Project) -> None:
    def enter(terminal: Terminal, pid: int, draws: int) -> None:
        if draws in (2, 5):
            terminal.type(b"\r")

    session = Terminal().run(shown.path, *PLAIN, meanwhile=enter)
    assert not [row for row in session.final if STATUS.search(row)]
    assert "".join(row.strip() for row in session.final if re.match(r"[.F]+( +\[100%\])?$", row)).startswith(
        ".F.."
    )


@pytest.mark.parametrize("how", ["ctrl-c", "term"])
def test_an_interrupted_session_leaves_none(shown: Project, how: str) -> None:
    def interrupt(terminal: Terminal, pid: int, draws: int) -> None:
        if draws == 3:
            terminal.type(b"\x03") if how == "ctrl-c" else os.kill(pid, signal.SIGTERM)

    session = Terminal().run(shown.path, *PLAIN, meanwhile=interrupt)
    assert_apart(session)
    assert session.code == pytest.ExitCode.INTERRUPTED


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["-v"],
        ["-s"],
        ["-n2"],
        ["-n2", "-v"],
        ["--color=yes"],
        ["--cluster-order=file"],
        ["--cluster-order=file", "-v"],
        ["-o", "log_cli=true", "--log-cli-level=DEBUG"],
    ],
    ids=" ".join,
)
def test_without_a_terminal_it_stands_on_lines_of_its_own(shown: Project, arguments: list[str]) -> None:
    shown.pytester.makeconftest(OFTEN + WRITERS["fixture"])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        check=False,
        cwd=shown.path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
    )
    assert done.returncode == pytest.ExitCode.TESTS_FAILED
    lines = done.stdout.splitlines()
    ours = [line for line in lines if STATUS.search(line)]
    assert ours
    for line in ours:
        assert re.fullmatch(r"clusterjobs: \d \w+(, \d \w+)*", line)
    assert "\x1b7" not in done.stdout
    others = [line for line in lines if line not in ours]
    if "-v" in arguments and "-n2" not in arguments:
        assert re.search(r"^matrices/m.yaml::a-1n-c1 FAILED +\[ *\d+%\]$", "\n".join(others), re.MULTILINE)


def test_a_dumb_terminal_is_none(shown: Project) -> None:
    session = Terminal().run(shown.path, *PLAIN, environment={"TERM": "dumb"})
    assert not session.drawn
    ours = [row for row in session.final if STATUS.search(row)]
    assert ours
    assert all(re.fullmatch(r"clusterjobs: \d \w+(, \d \w+)*", row) for row in ours)
