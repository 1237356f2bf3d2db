"""The ``clusterjobs`` command: runs seen from a terminal, all of it read from their ledgers."""

from __future__ import annotations


def main() -> None:
    """Run the command; the process ends here."""
    from .app import app

    app(prog_name="clusterjobs")
