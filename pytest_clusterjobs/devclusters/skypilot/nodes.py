"""The Slurm cluster that SkyPilot launches on."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from collections.abc import Mapping
from pathlib import Path

from ..slurm import SlurmCluster
from ..supervisor import below
from ..supervisor import Bind
from ..supervisor import MountNamespace
from .layout import SkyPilotLayout

TMP = Path("/tmp")


class Nodes(SlurmCluster):
    """Nodes as SkyPilot expects them: each has a name, an address and a /tmp, and all share one home."""

    def install(self, layout: SkyPilotLayout, programs: Mapping[str, str], visible: Iterable[Path]) -> None:
        """Set the nodes' files and programs, and the folders below /tmp that jobs can see."""
        self._files, self._programs = layout, programs
        self._visible = (self.folder, *visible, *map(Path, (sys.prefix, sys.base_prefix, *sys.path)))

    def namespace(self, name: str = "") -> MountNamespace:
        """The namespace of a node, or of another machine that is called ``name``."""
        tmp = self.folder / "tmp" / (name or "login")
        if not tmp.exists():
            tmp.mkdir(parents=True)
            # SkyPilot's cache folder for uv. Without a shared one, each node would download everything.
            (tmp / f"uv_cache_{os.geteuid()}").symlink_to(self._files.cache)
        hosts = super().namespace(name).binds
        accounts = self._files.accounts()
        own_tmp = Bind(tmp, TMP, below(TMP, self._visible))
        return MountNamespace(name if name in self.nodes else "", (*hosts, *accounts, own_tmp))

    def _write(self) -> None:
        super()._write()
        self._files.write(self._programs)
