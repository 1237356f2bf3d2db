"""Where ``clusterjobs report`` writes: to streams and through links, and never over other files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from lxml import etree

if TYPE_CHECKING:
    from tests.cli.conftest import Place


def shell(place: Place, command: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a command line of bash; ``report`` in it is ours."""
    begin = f'report() {{ {sys.executable} -m pytest_clusterjobs.cli --rootdir {place.path} report "$@"; }}; '
    return subprocess.run(
        ["bash", "-c", begin + command], cwd=cwd, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_dash_is_standard_output_and_nothing_else_is_there(ended: Place, tmp_path: Path) -> None:
    assert json.loads(ended.command("report", "--json", "-").stdout)["summary"]["failed"] == 2
    done = ended.command("report", "--junit", "-")
    assert len(list(etree.fromstring(done.stdout.encode()).iter("testcase"))) == 8
    assert done.stderr == ""
    for name in ("/dev/stdout", "/dev/fd/1"):
        done = shell(ended, f"echo before > out; report --junit {name} >> out; echo after >> out", tmp_path)
        text = (tmp_path / "out").read_text()
        assert text.startswith("before\n<?xml ") and text.endswith(">after\n"), done.stderr
    assert not (ended.path / "-").exists()


def test_json_and_junit_cannot_be_the_same_file(ended: Place) -> None:
    for where in ("-", "same"):
        done = ended.command("report", "--json", where, "--junit", where)
        assert done.returncode == 2
        assert "name the same file" in done.stderr


def test_devices_fifos_links_and_substitutions_are_written_through(ended: Place, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link.xml").symlink_to("real.xml")
    (tmp_path / "null").symlink_to("/dev/null")
    done = shell(
        ended,
        "cat pipe > got.json & report --json pipe; report --junit link.xml; report --junit null;"
        "report --junit >(cat > got.xml); wait; sleep 0.3",
        tmp_path,
    )
    assert done.stdout == f"{tmp_path}/link.xml\n", done.stderr
    assert (tmp_path / "pipe").is_fifo() and (tmp_path / "link.xml").is_symlink()
    assert (tmp_path / "null").is_char_device()
    assert json.loads((tmp_path / "got.json").read_text())["summary"]["failed"] == 2
    for name in ("real.xml", "got.xml"):
        assert len(list(etree.parse(str(tmp_path / name)).iter("testcase"))) == 8


def test_a_tilde_after_an_equals_sign_is_home(ended: Place, tmp_path: Path) -> None:
    done = ended.command("report", "--json=~/again.json", "--junit=none", HOME=str(tmp_path))
    assert done.returncode == 0
    assert json.loads((tmp_path / "again.json").read_text())["summary"]["failed"] == 2
    assert not (ended.path / "none").exists()


@pytest.mark.parametrize("option", ["--json", "--junit"])
def test_a_file_that_is_not_a_report_is_not_overwritten(ended: Place, tmp_path: Path, option: str) -> None:
    for text in ("[tool.x]\n", "{}\n", "<html/>\n"):
        path = tmp_path / "notes"
        path.write_text(text)
        done = ended.command("report", option, str(path))
        assert done.returncode == 3
        assert "is another kind of file, and is not overwritten" in done.stderr
        assert path.read_text() == text
    path.write_text("")
    for _ in range(2):
        assert ended.command("report", option, str(path)).returncode == 0
