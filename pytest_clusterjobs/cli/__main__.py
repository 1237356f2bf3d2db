"""``python -m pytest_clusterjobs.cli``: the command where no script is on the path."""

from __future__ import annotations

from . import main

main()
