"""Hides values in text, whole and by line, even if colours, indentation or the edge of a read split them."""

from __future__ import annotations

import os
import re
from bisect import bisect_right
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace

from ..model import NodeState
from ..model import Observation
from ..model.text import ANSI
from ..model.text import RANK_PREFIX

MASK = "***"

MIN_HIDDEN_CHARACTERS = 4
"""The fewest characters of a value that is hidden; replacing shorter ones would only garble text."""

_INVISIBLE = re.compile(rf"{ANSI.pattern}|[\x00-\x08\x0b-\x1f\x7f-\x9f]+")
_BETWEEN_LINES = re.compile(rf"{RANK_PREFIX.pattern}|^\s+|(?<![ \t])[ \t]++$", re.MULTILINE)
_OPEN_SEQUENCE = re.compile(
    r"(?:\x1b|(?:\x1b\[|\x9b)[0-?]{0,64}[ -/]{0,8}|\x1b[\]P^_X][^\x07\x1b\x9c\n]{0,4096})\Z"
)
"""A terminal sequence whose end has not been read yet."""
_MAX_SEQUENCE_CHARACTERS = 4200


def normal(value: str) -> str:
    """The form in which a value is searched: without invisible characters, indentation and blank lines."""
    text = os.fsencode(value).decode("utf-8", "replace")
    lines = (line.strip() for line in _INVISIBLE.sub("", text).split("\n"))
    return "\n".join(line for line in lines if line)


def too_short(value: str) -> bool:
    """Whether a variable's value is too short to be hidden. An empty value need not be hidden."""
    form = normal(value)
    return bool(form) and not _is_long(form)


def _is_long(form: str) -> bool:
    return len(form) - form.count("\n") >= MIN_HIDDEN_CHARACTERS


@dataclass(frozen=True, slots=True)
class _View:
    """A text with parts left out, and the positions of the remaining parts in the whole text."""

    text: str
    below: _View | None = None
    """The view that it was made from; None for the whole text."""
    starts: Sequence[int] = ()
    """Where the remaining pieces begin."""
    ends: Sequence[int] = ()
    """For each piece, where the part left out before it ends, in ``below``."""

    def without(self, noise: re.Pattern[str]) -> _View:
        """The view without the matches of ``noise``."""
        pieces, starts, ends = [], [0], [0]
        size = 0
        for match in noise.finditer(self.text):
            piece = self.text[ends[-1] : match.start()]
            pieces.append(piece)
            size += len(piece)
            starts.append(size)
            ends.append(match.end())
        pieces.append(self.text[ends[-1] :])
        return _View("".join(pieces), self, starts, ends)

    def at(self, position: int) -> int:
        """The position of a character in the whole text."""
        if self.below is None:
            return position
        piece = bisect_right(self.starts, position) - 1
        return self.below.at(self.ends[piece] + position - self.starts[piece])


class Hiding:
    """Hides values in the texts of a run."""

    def __init__(self, values: Iterable[str] = (), unknown: str = "") -> None:
        """``values`` are in normal form. If ``unknown`` says why they are not known, no text is shown."""
        forms = {form for value in values for form in (value, *value.split("\n")) if _is_long(form)}
        self._forms = sorted(forms)
        self._has_lines = any("\n" in form for form in forms)
        self.unknown = unknown
        self.room = 4 * max(map(len, forms), default=0)
        """Bytes to read before a log's tail, so that a value at the tail's edge is read whole."""

    def __bool__(self) -> bool:
        """Whether any text can be changed."""
        return bool(self._forms or self.unknown)

    def hide(self, text: str, *, begins: bool = True, ends: bool = True) -> str:
        """``text`` with MASK in place of each value.

        ``begins`` and ``ends``: whether the log begins and ends where the text does. At any other edge a part
        of a value is hidden too.
        """
        if not text or not self:
            return text
        return MASK if self.unknown else _masked(text, self.mask(text, begins=begins, ends=ends))

    def mask(self, text: str, *, begins: bool, ends: bool) -> bytearray:
        """A 1 for each character to hide; without ``ends``, only up to an incomplete terminal sequence."""
        opened = None if ends else _OPEN_SEQUENCE.search(text, max(0, len(text) - _MAX_SEQUENCE_CHARACTERS))
        text = text if opened is None else text[: opened.start()]
        mask = bytearray(len(text))
        for start, end in self._spans(text, begins=begins, ends=ends):
            mask[start:end] = b"\1" * (end - start)
        return mask

    def _spans(self, text: str, *, begins: bool, ends: bool) -> Iterator[tuple[int, int]]:
        for view in self._views(text):
            for form in self._forms:
                at = view.text.find(form)
                while at >= 0:
                    yield view.at(at), view.at(at + len(form) - 1) + 1
                    at = view.text.find(form, at + 1)
                if not begins and (shared := _overlap(form, view.text, len(form) - 1)):
                    yield 0, view.at(shared - 1) + 1
                if not ends and (shared := _overlap(view.text, form, len(form) - 1)):
                    yield view.at(len(view.text) - shared), len(text)

    def _views(self, text: str) -> Iterator[_View]:
        view = _View(text)
        yield view
        if _INVISIBLE.search(text) is not None:
            view = view.without(_INVISIBLE)
            yield view
        if self._has_lines:
            yield view.without(_BETWEEN_LINES)


class HidingStream:
    """Hides values in a log read in pieces: a possible beginning of a value waits for the next piece."""

    def __init__(self, hiding: Callable[[], Hiding]) -> None:
        """``hiding`` is called for each piece, since a run may learn further values."""
        self._hiding = hiding
        self._held = ""
        self.begins = True
        """Whether the log begins where the next piece does."""

    def feed(self, piece: str, *, last: bool, ends: bool) -> str:
        """The text that can be shown now; with ``last``, all of it.

        ``ends``: whether the log ends with this piece.
        """
        text, hiding = self._held + piece, self._hiding()
        self._held = ""
        if last or not hiding or hiding.unknown:
            return hiding.hide(text, begins=self.begins, ends=ends)
        mask = hiding.mask(text, begins=self.begins, ends=ends)
        until = mask.rfind(0) + 1
        self._held = text[until:]
        self.begins = self.begins or until > 0
        return _masked(text[:until], mask[:until])


def hidden(seen: Observation, hiding: Hiding) -> Observation:
    """The observation with values hidden in its texts."""
    if not hiding:
        return seen
    return replace(
        seen,
        native_state=hiding.hide(seen.native_state),
        native_reason=hiding.hide(seen.native_reason),
        nodes=tuple(_hidden_node(node, hiding) for node in seen.nodes),
    )


def _hidden_node(node: NodeState, hiding: Hiding) -> NodeState:
    report = node.report and replace(node.report, note=hiding.hide(node.report.note))
    return replace(node, report=report, unread=hiding.hide(node.unread))


def _overlap(before: str, after: str, most: int) -> int:
    """How many characters, at most ``most``, both end ``before`` and begin ``after``."""
    reach = before[-most:]
    at = reach.find(after[:1])
    while at >= 0 and not after.startswith(reach[at:]):
        at = reach.find(after[:1], at + 1)
    return len(reach) - at if at >= 0 else 0


def _masked(text: str, mask: bytearray) -> str:
    shown, end = [], 0
    for run in re.finditer(rb"\x01+", mask):
        shown += [text[end : run.start()], MASK]
        end = run.end()
    return "".join([*shown, text[end:]]) if shown else text
