"""SkyPilot's configuration of a project, the same for every process that works on a run.

SkyPilot looks for ``.sky.yaml`` where a process was started (``sky.skypilot_config``), and it may name the API server and the
workspace. A reaper and ``clusterjobs kill`` are started elsewhere: asked on another server, every job would be gone.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

VARIABLE = "SKYPILOT_PROJECT_CONFIG"
NAME = ".sky.yaml"


def settle(rootdir: Path | None = None) -> None:
    """Name the file for SkyPilot, here and in processes that are started from here: the current folder's, else rootdir's."""
    if VARIABLE in os.environ:
        return
    folders = [Path.cwd(), *([] if rootdir is None else [rootdir])]
    found = next((file for folder in folders if (file := folder.absolute() / NAME).is_file()), None)
    if found is None:
        return
    os.environ[VARIABLE] = str(found)
    if "sky" in sys.modules:
        # Imported at collection, where nobody knows rootdir.
        from sky import skypilot_config

        skypilot_config.safe_reload_config()
