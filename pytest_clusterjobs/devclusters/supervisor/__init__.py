"""Daemons for tests and for a person at a terminal, none of which outlives those who use them."""

from __future__ import annotations

from .daemons import Daemons as Daemons
from .errors import ClusterError as ClusterError
from .errors import from_debian as from_debian
from .errors import from_extra as from_extra
from .errors import Missing as Missing
from .namespaces import below as below
from .namespaces import Bind as Bind
from .namespaces import MountNamespace as MountNamespace
from .sharing import LocalCluster as LocalCluster
from .sharing import shared as shared

__all__ = [
    "Daemons",
    "MountNamespace",
    "Bind",
    "below",
    "ClusterError",
    "Missing",
    "from_debian",
    "from_extra",
    "LocalCluster",
    "shared",
]
