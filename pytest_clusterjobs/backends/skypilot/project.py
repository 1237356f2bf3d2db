"""SkyPilot's configuration of a project, the same for every process that works on a run.

SkyPilot looks for ``.sky.yaml`` in the working directory of a process (``sky.skypilot_config``). The file may
name the API server and the workspace. The reaper and ``clusterjobs kill`` may have another working directory,
and would find no jobs on another server.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

CONFIG_VARIABLE = "SKYPILOT_PROJECT_CONFIG"
CONFIG_FILE_NAME = ".sky.yaml"


def select_config(rootdir: Path | None = None) -> None:
    """Set the file for this process and its children: that of the working directory, else of rootdir."""
    if CONFIG_VARIABLE in os.environ:
        return
    folders = [Path.cwd(), *([] if rootdir is None else [rootdir])]
    found = next(
        (file for folder in folders if (file := folder.absolute() / CONFIG_FILE_NAME).is_file()), None
    )
    if found is None:
        return
    os.environ[CONFIG_VARIABLE] = str(found)
    if "sky" in sys.modules:
        # It was imported at collection, when rootdir was not known.
        from sky import skypilot_config

        skypilot_config.safe_reload_config()
