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
    """Nodes as SkyPilot expects them: a name and an address each, a /tmp each, and one home on all of them."""

    def furnish(self, layout: SkyPilotLayout, programs: Mapping[str, str], visible: Iterable[Path]) -> None:
        """Say what is to be on the nodes, and which folders below /tmp they have in common with this machine."""
        self._furniture, self._programs = layout, programs
        self._visible = (self.folder, *visible, *map(Path, (sys.prefix, sys.base_prefix, *sys.path)))

    def room(self, name: str = "") -> MountNamespace:
        """What is to be seen on a node, or on the machine ``name`` that is none."""
        tmp = self.folder / "tmp" / (name or "login")
        if not tmp.exists():
            tmp.mkdir(parents=True)
            # Where SkyPilot has uv keep what it fetched; each node would fetch it anew.
            (tmp / f"uv_cache_{os.geteuid()}").symlink_to(self._furniture.cache)
        hosts = super().room(name).binds
        accounts = self._furniture.accounts()
        own_tmp = Bind(tmp, TMP, below(TMP, self._visible))
        return MountNamespace(name if name in self.nodes else "", (*hosts, *accounts, own_tmp))

    def _write(self) -> None:
        super()._write()
        self._furniture.write(self._programs)
