"""``python -m pytest_clusterjobs.cli``: the command without a script on the path."""

from __future__ import annotations

from . import main

main()
