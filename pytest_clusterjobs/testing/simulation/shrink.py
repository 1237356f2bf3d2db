"""Makes a failing history small, and shows it as a timeline."""

from __future__ import annotations

from collections.abc import Callable
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import TypeVar

from .facts import Violation

T = TypeVar("T")

MAX_RUNS = 300
"""How many histories ``shrink`` runs at most."""


@dataclass(slots=True, frozen=True)
class Plan:
    """What a history keeps of all that its seed has drawn; ``None`` keeps everything.

    Each item can be dropped by itself: cells and faults have fixed numbers in a seed, and each draws from a
    split of its own.
    """

    cells: tuple[int, ...] | None = None
    """Numbers of cells, counted from 0 in the order in which they are drawn."""
    kinds: tuple[str, ...] | None = None
    """Kinds of faults."""
    faults: tuple[int, ...] | None = None
    """Numbers of faults."""
    situation: bool = True
    """Whether the situation of the seed is arranged, if it has one."""


EVERYTHING = Plan()


@dataclass(slots=True)
class ShownHistory:
    """What a run of one seed and plan leaves behind."""

    seed: int
    plan: Plan
    cells: dict[int, str]
    """The cells that took part: number to a line of text for people."""
    faults: dict[int, tuple[str, str]]
    """The faults that happened: number to kind and a line of text for people."""
    violations: list[Violation]
    timeline: Sequence[tuple[float, str, str]]
    """Seconds of virtual time, who (``cluster``, ``network``, ``driver`` ...), and what."""


Run = Callable[[int, Plan], ShownHistory]


@dataclass(slots=True)
class _Shrinking:
    run: Run
    rule: str
    best: ShownHistory
    left: int

    def accept(self, plan: Plan) -> bool:
        """Whether the rule is still broken with this plan, which then becomes the best one."""
        if self.left <= 0:
            return False
        self.left -= 1
        history = self.run(self.best.seed, plan)
        if not any(each.rule == self.rule for each in history.violations):
            return False
        self.best = history
        return True


def shrink(
    run: Run, seed: int, plan: Plan = EVERYTHING, *, rule: str | None = None, max_runs: int = MAX_RUNS
) -> ShownHistory:
    """The smallest history found that still breaks ``rule`` (by default the first one that is broken).

    Drops fault kinds, then faults, then cells, larger parts first, until nothing more can be dropped. A
    history that breaks no rule is returned as it is.
    """
    first = run(seed, plan)
    wanted = [each.rule for each in first.violations if rule in (None, each.rule)]
    if not wanted:
        return first
    work = _Shrinking(run, wanted[0], first, max_runs)
    while _kinds(work) | _faults(work) | _cells(work):
        pass
    return work.best


def _kinds(work: _Shrinking) -> bool:
    def kinds() -> list[str]:
        return list(dict.fromkeys(kind for kind, _ in work.best.faults.values()))

    return _drop(kinds, lambda kept: work.accept(replace(work.best.plan, kinds=tuple(kept))))


def _faults(work: _Shrinking) -> bool:
    return _drop(
        lambda: list(work.best.faults),
        lambda kept: work.accept(replace(work.best.plan, faults=tuple(kept))),
    )


def _cells(work: _Shrinking) -> bool:
    def accept(kept: Sequence[int]) -> bool:
        return bool(kept) and work.accept(replace(work.best.plan, cells=tuple(kept)))

    return _drop(lambda: list(work.best.cells), accept)


def _drop(items: Callable[[], list[T]], accept: Callable[[Sequence[T]], bool]) -> bool:
    """Drop parts of halving size as long as ``accept`` says yes. Returns whether anything was dropped.

    ``items`` are those of the best history, of which an accepted one may have fewer than were asked for.
    """
    before = len(items())
    size = before
    while size:
        start = 0
        while start < len(items()):
            now = items()
            if not accept(now[:start] + now[start + size :]):
                start += size
        size //= 2
    return len(items()) < before


def render(history: ShownHistory) -> str:
    """The history as text: what was broken, what took part, and the timeline."""
    plan = history.plan
    lines = [f"seed {history.seed}, {plan}", *(str(each) for each in history.violations), "", "cells:"]
    lines += [f"  {number}  {text}" for number, text in history.cells.items()] + ["", "faults:"]
    lines += [f"  {number}  {kind}: {text}" for number, (kind, text) in history.faults.items()]
    width = max((len(who) for _, who, _ in history.timeline), default=0)
    lines += ["", "timeline:"]
    last = -1.0
    for at, who, what in history.timeline:
        # A time is shown once, so that what happens together can be seen.
        shown = f"{at:12.3f}" if at != last else " " * 12
        lines.append(f"{shown}  {who:<{width}}  {what}")
        last = at
    return "\n".join(lines)
