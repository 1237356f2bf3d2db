"""One configuration for all processes of a run, wherever they were started."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ASK = """
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


def asked(rootdir: Path, cwd: Path, *arguments: str) -> list[str]:
    environment = {**os.environ, "HOME": str(rootdir)}
    done = subprocess.run(
        [sys.executable, "-c", ASK, rootdir, *arguments],
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout.split()


@pytest.mark.parametrize("arguments", [(), ("imported",)])
def test_a_reaper_asks_in_the_workspace_of_the_project(
    sky: None, tmp_path: Path, arguments: tuple[str, ...]
) -> None:
    file = tmp_path / ".sky.yaml"
    file.write_text("active_workspace: team-a\n")
    assert asked(tmp_path, Path("/"), *arguments) == ["team-a", str(file)]


def test_the_folder_that_pytest_is_started_in_comes_first(sky: None, tmp_path: Path) -> None:
    (tmp_path / ".sky.yaml").write_text("active_workspace: team-a\n")
    below = tmp_path / "below"
    below.mkdir()
    (below / ".sky.yaml").write_text("active_workspace: team-b\n")
    assert asked(tmp_path, below) == ["team-b", str(below / ".sky.yaml")]
