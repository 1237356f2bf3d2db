"""The ``clusterjobs`` command, which shows and handles runs from a terminal through their ledgers."""

from __future__ import annotations


def main() -> None:
    """Run the command and exit the process."""
    from .app import app

    app(prog_name="clusterjobs")
