"""What keeps a cluster of this machine from running."""

from __future__ import annotations


class ClusterError(Exception):
    """A cluster of this machine, or a command on it, failed; the message is one line."""
