"""Daemons for tests and for a person at a terminal, none of which outlives those who use them."""

from __future__ import annotations

from .daemons import Daemons as Daemons
from .errors import ClusterError as ClusterError
from .rooms import below as below
from .rooms import Bind as Bind
from .rooms import Room as Room
from .sharing import shared as shared

__all__ = ["Daemons", "Room", "Bind", "below", "ClusterError", "shared"]
