"""What ``clusterjobs`` shows of a run that has secrets, from a shell that does not know them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import COMMAND
from tests.cli.conftest import environment
from tests.cli.conftest import Place
from tests.cli.conftest import PYTEST
from tests.cli.conftest import until

VALUE = "swordfish-42"
KEY = "-----BEGIN KEY-----\nMIIEpAIBAAKC\n-----END KEY-----\n"

PRINTS = r"""
recipes:
  a: |
    echo "password $PASSWORD."
    printf 'in colour: \033[31m%s\033[0m%s\r\n' "${PASSWORD:0:5}" "${PASSWORD:5}"
    printf '%s' "$KEY" | sed 's/^/    /'
    exit 3
nodes: [1]
conditions:
  c: {secrets: [PASSWORD, KEY]}
  other: {run: 'printenv PASSWORD; exit 3'}
  never: {secrets: [PASSWORD], run: 'echo $PASSWORD', expect: {log: {contains: [no such text]}}}
"""

PARTS = [VALUE, "swordfish", "fish-42", "MIIEpAIBAAKC", "BEGIN KEY"]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.setenv("PASSWORD", VALUE)
    monkeypatch.setenv("KEY", KEY)
    return Place(tmp_path)


@pytest.fixture(scope="module")
def ended(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A run that ended; the variables are not set here any more."""
    place = Place(tmp_path_factory.mktemp("ended"))
    place.matrix(PRINTS)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PASSWORD", VALUE)
        patch.setenv("KEY", KEY)
        assert place.pytest("matrices") == 1
    return place


def shows(text: str) -> list[str]:
    """What a text shows of the values."""
    return [part for part in PARTS if part in text]


@pytest.mark.parametrize(
    "arguments", [[], ["--raw"], ["--json"], ["-f"], ["--tail", "150"], ["--tail", "140", "--raw"]]
)
def test_a_log_shows_no_secret(ended: Place, arguments: list[str]) -> None:
    done = ended.command("logs", "a-1n-c", *arguments)
    assert done.returncode == 0, done.stderr
    assert "***" in done.stdout
    assert not shows(done.stdout + done.stderr)


def test_the_log_of_another_cell_shows_no_secret_either(ended: Place) -> None:
    """It runs in the same environment, with all that its run hides."""
    assert ended.command("logs", "a-1n-other").stdout.splitlines()[1] == "***"


def test_a_tail_that_begins_inside_a_secret_shows_no_part_of_it(ended: Place) -> None:
    whole = ended.command("logs", "a-1n-never").stdout
    behind = whole.partition("***")[2]
    for size in (1, 2, 6, len(VALUE) - 1, len(VALUE) + 1):
        shown = ended.command("logs", "a-1n-never", "--tail", str(len(behind) + size)).stdout
        assert shown.endswith(behind)
        assert len(shown) <= len(behind) + size
        assert not set(shown.removesuffix(behind)[-3:]) & set(VALUE)


@pytest.mark.parametrize(
    "arguments",
    [["report"], ["report", "--junit", "-"], ["show", "a-1n-c"], ["rejudge"], ["watch"], ["runs"]],
)
def test_no_other_output_has_a_secret(ended: Place, arguments: list[str]) -> None:
    done = ended.command(*arguments)
    assert done.stdout
    assert not shows(done.stdout + done.stderr)


def test_judging_again_finds_the_same(ended: Place) -> None:
    lines = {line["key"].rpartition("::")[2]: line for line in ended.read("rejudge")}
    assert (lines["a-1n-never"]["was"], lines["a-1n-never"]["is"]) == ("failed", "failed")


def test_secrets_are_in_one_file_that_only_this_user_can_read(ended: Place) -> None:
    secrets = ended.folder / "secrets"
    assert secrets.stat().st_mode & 0o777 == 0o600
    assert VALUE in json.loads(secrets.read_text())
    others = [path for path in ended.folder.iterdir() if path.is_file() and path != secrets]
    assert ended.folder / "ledger.sqlite" in others
    assert not any(shows(path.read_bytes().decode("latin-1")) for path in others)


def test_without_the_file_of_secrets_no_log_is_shown(ended: Place) -> None:
    secrets = ended.folder / "secrets"
    aside = secrets.rename(secrets.with_name("aside"))
    try:
        done = ended.command("logs", "a-1n-c")
        lines = {line["key"].rpartition("::")[2]: line for line in ended.read("rejudge")}
    finally:
        aside.rename(secrets)
    assert (done.returncode, done.stdout) == (3, "")
    assert f"{secrets}: no such file" in done.stderr
    assert lines["a-1n-never"]["is"] == "error"


def test_a_secret_that_arrives_in_two_pieces_is_not_shown(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first half is printed and read before the second."""
    place.matrix(
        r"""
        recipes:
          a: |
            printf 'first line\nit is %s\033[3' "${PASSWORD:0:6}"
            touch half; while [ ! -e go ]; do sleep 0.05; done
            printf '1m%s and more\n' "${PASSWORD:6}"
        nodes: [1]
        conditions: {c: {secrets: [PASSWORD], max_runtime: 1m}}
        """
    )
    assert place.pytest("matrices", "--cluster-launch") == 0
    monkeypatch.delenv("PASSWORD")
    until((place.path / "half").exists)
    command = [*COMMAND, "logs", "-f", "a-1n-c"]
    with subprocess.Popen(
        command, cwd=place.path, env=environment(), stdout=subprocess.PIPE, text=True
    ) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline().startswith("[clusterjobs ")
        assert follower.stdout.readline() == "first line\n"
        first, second = place.command("logs", "a-1n-c").stdout.splitlines()[1:]
        assert (first, second[:9], "sword" in second) == ("first line", "it is ***", False)
        (place.path / "go").touch()
        assert place.command("check", "--wait").returncode == 0
        rest = follower.stdout.read()
    assert rest.splitlines()[0] == "it is *** and more"
    assert "sword" not in rest


def test_a_check_from_another_shell_hides_the_secrets_of_the_launch(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.matrix(PRINTS)
    assert place.pytest("matrices", "--cluster-launch") == 0
    monkeypatch.setenv("PASSWORD", "another value")
    monkeypatch.delenv("KEY")
    report = [
        "--junitxml=report.xml",
        "-o",
        "junit_family=xunit1",
        "--cluster-json=report.json",
        "-vv",
        "-rA",
    ]
    done = subprocess.run(
        [*PYTEST, "--cluster-check", "--cluster-check-wait", *report],
        cwd=place.path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert "password ***." in done.stdout
    files = [*place.path.glob("report.*"), place.folder / "ledger.sqlite"]
    assert len(files) == 3
    for text in (done.stdout, *(path.read_bytes().decode("latin-1") for path in files)):
        assert not shows(text)


def test_a_secret_that_cannot_be_hidden_is_refused(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIN", "077\n")
    place.matrix("recipes: {a: 'echo $PIN'}\nnodes: [1]\nconditions:\n  c: {secrets: [PIN]}\n")
    process = place.start("matrices")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "matrices/m.yaml:4: a-1n-c" in output
    assert "secret PIN has fewer than 4 characters" in output
    assert "give it a longer value" in output
    assert "077" not in output


def test_no_process_has_a_secret_on_its_command_line(place: Place) -> None:
    place.matrix("recipes: {a: 'touch on; sleep 300'}\nnodes: [1]\nconditions: {c: {secrets: [PASSWORD]}}\n")
    process = place.start("matrices")
    until((place.path / "on").exists)
    listed = [path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if path.exists()]
    process.terminate()
    process.communicate(timeout=60)
    assert any(sys.executable.encode() in each for each in listed)
    assert not any(VALUE.encode() in each for each in listed)


def test_gc_removes_the_file_of_secrets(ended: Place) -> None:
    folder = ended.folder
    assert ended.command("gc", "--keep", "0", "--yes").returncode == 0
    assert not folder.exists()
