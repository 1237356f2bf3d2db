"""SkyPilot's configuration of a project, the same for every process that works on a run.

SkyPilot looks for ``.sky.yaml`` in the folder where a process was started (``sky.skypilot_config``). The file
may name the API server and the workspace. The reaper and ``clusterjobs kill`` are started elsewhere: with
another server they would find no job.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "SKYPILOT_PROJECT_CONFIG"
NAME = ".sky.yaml"


def settle(rootdir: Path | None = None) -> None:
    """Set SkyPilot's file for this process and its children: the current folder's, else rootdir's."""
    if VARIABLE in os.environ:
        return
    folders = [Path.cwd(), *([] if rootdir is None else [rootdir])]
    found = next((file for folder in folders if (file := folder.absolute() / NAME).is_file()), None)
    if found is None:
        return
    os.environ[VARIABLE] = str(found)
    if "sky" in sys.modules:
        # Imported at collection, where rootdir is not known.
        from sky import skypilot_config

        skypilot_config.safe_reload_config()
