"""All processes of a run use one configuration, whatever their working directories."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = """
import os, sys
from pathlib import Path
if sys.argv[2:]:
    import sky
from pytest_clusterjobs.backends.protocol import BackendContext
from pytest_clusterjobs.backends.skypilot import TYPE
rootdir = Path(sys.argv[1])
TYPE.open(BackendContext("skypilot", "run", rootdir, rootdir, TYPE.validate({})))
from sky import skypilot_config
print(skypilot_config.get_active_workspace(), os.environ.get("SKYPILOT_PROJECT_CONFIG"))
"""


def configuration(rootdir: Path, cwd: Path, *arguments: str) -> list[str]:
    environment = {**os.environ, "HOME": str(rootdir)}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, rootdir, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.split()


@pytest.mark.parametrize("arguments", [(), ("imported",)])
def test_a_reaper_uses_the_workspace_of_the_project(
    sky: None, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    file = tmp_path / ".sky.yaml"
    file.write_text("active_workspace: team-a\n")
    assert configuration(tmp_path, Path("/"), *arguments) == ["team-a", str(file)]


def test_the_working_directory_takes_precedence(sky: None, tmp_path: Path) -> None:
    (tmp_path / ".sky.yaml").write_text("active_workspace: team-a\n")
    below = tmp_path / "below"
    below.mkdir()
    (below / ".sky.yaml").write_text("active_workspace: team-b\n")
    assert configuration(tmp_path, below) == ["team-b", str(below / ".sky.yaml")]
