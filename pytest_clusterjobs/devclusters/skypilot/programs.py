"""The programs and libraries that must be installed."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path

from ..slurm.client import SBIN
from ..supervisor import from_debian
from ..supervisor import from_extra
from ..supervisor import Missing

EXTRA = "skypilot-local"

PACKAGES: Mapping[str, str] = {
    "sshd": "openssh-server",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "rsync": "rsync",
    "socat": "socat",
    "curl": "curl",
}
"""Programs that SkyPilot and this package run, with their Debian packages. ``slurm`` checks Slurm's own."""

MODULES = ("sky", "grpc", "hostlist")
"""SkyPilot, and the dependencies that only its server has."""


def find_programs() -> dict[str, str]:
    """The paths of all programs, with ``sky`` and ``uv``. Raises Missing."""
    for module in MODULES:
        if importlib.util.find_spec(module) is None:
            raise Missing("skypilot[slurm]", from_extra(EXTRA))
    found = {name: _find(name, package) for name, package in PACKAGES.items()}
    return {**found, "sky": _find("sky"), "uv": _find("uv")}


def _find(name: str, package: str = "") -> str:
    # The folder of the running Python comes first, so that client and server are the same SkyPilot.
    beside = os.path.dirname(sys.executable) + os.pathsep if not package else ""
    found = shutil.which(name, path=f"{beside}{os.environ.get('PATH', os.defpath)}:{SBIN}")
    if found is None:
        raise Missing(name, from_debian(package) if package else from_extra(EXTRA))
    return str(Path(found).absolute())
