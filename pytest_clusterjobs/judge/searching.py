"""Regular expressions of a matrix, searched line by line."""

from __future__ import annotations

import re
from functools import lru_cache

from .lines import lines
from .patterns import line_pattern
from .patterns import literal
from .patterns import parts


@lru_cache(maxsize=256)
def searched(pattern: str) -> tuple[re.Pattern[str], str]:
    """The compiled pattern, and text that each line with a match contains. Raises BadPattern."""
    whole = line_pattern(pattern)
    return whole, literal(parts(pattern), whole.flags)


def first_match(pattern: str, text: str) -> re.Match[str] | None:
    """The match in the first line that has one. Raises BadPattern."""
    whole, needed = searched(pattern)
    return next((match for line in lines(text, needed) if (match := whole.search(line))), None)
