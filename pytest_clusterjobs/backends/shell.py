"""The shell text that backends deliver, kept in files of its own."""

from __future__ import annotations

from functools import cache
from pathlib import Path


@cache
def section(file: Path, name: str) -> str:
    """The text below ``## NAME`` in a file, up to the next such line."""
    return file.read_text(encoding="ascii").partition(f"## {name}\n")[2].partition("\n## ")[0].strip("\n")


def strip_comments(text: str) -> str:
    """Shell text without lines that are comments or empty."""
    return "\n".join(line for line in text.splitlines() if line and not line.startswith("#"))
