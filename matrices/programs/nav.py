"""Find the way through a maze: value iteration, the rows of the maze split over the ranks.

In each step a rank swaps border rows with its two neighbours, directly, and all agree on the
largest change. The result does not depend on how many ranks there are.
"""

from __future__ import annotations

import math
import sys
from typing import Any

from group import accept
from group import Channel
from group import connect
from group import Group
from group import listen
from job import Job
from loop import main

MAZE = """\
############
#S...#.....#
####.#.###.#
#....#.#...#
#.####.#.###
#......#...#
######.###.#
#....#...#.#
#.##.###.#.#
#.#....#.#.#
#.####.G.#.#
############
""".splitlines()
DISCOUNT = 0.9


def join_chain(job: Job, group: Group) -> list[Channel]:
    """Connect to the rank before this one and to the rank behind it, where there are such. Raises PeerLost."""
    before: list[Channel] = []
    with listen(job, (group.host, 0), until=group.until) as server:
        hosts = group.broadcast(group.gather(server.getsockname()[:2]))
        if job.rank > 0:
            address = (hosts[job.rank - 1][0], hosts[job.rank - 1][1])
            before = [connect(job, job.rank - 1, address, until=group.until, timeout=group.peer_timeout)]
        wanted = {job.rank + 1} - {job.world}
        behind = accept(job, server, wanted, until=group.until, timeout=group.peer_timeout)
    return before + behind


class Nav:
    """What each place of the maze is worth, and the rows of it that are one rank's to work out."""

    def __init__(self, job: Job, group: Group) -> None:
        if job.world > len(MAZE):
            raise SystemExit(f"nav: a maze of {len(MAZE)} rows does not go round {job.world} ranks")
        self._job = job
        self._group = group
        self._neighbours = join_chain(job, group)
        self._mine = range(len(MAZE) * job.rank // job.world, len(MAZE) * (job.rank + 1) // job.world)
        self._worth = [[float(place == "G") for place in row] for row in MAZE]

    def step(self, number: int) -> float:
        """One sweep over this rank's rows; returns the largest change on any rank."""
        self._swap_borders()
        old = [row[:] for row in self._worth]
        for y in self._mine:
            for x, place in enumerate(MAZE[y]):
                if place in "S.":
                    around = (old[y - 1][x], old[y + 1][x], old[y][x - 1], old[y][x + 1])
                    self._worth[y][x] = DISCOUNT * max(around)
        changes = (abs(self._worth[y][x] - old[y][x]) for y in self._mine for x in range(len(MAZE[y])))
        return self._group.allreduce([max(changes)], max)[0]

    def _swap_borders(self) -> None:
        for channel in self._neighbours:
            channel.send(self._worth[self._mine[0 if channel.peer < self._job.rank else -1]])
        for channel in self._neighbours:
            outside = self._mine[0] - 1 if channel.peer < self._job.rank else self._mine[-1] + 1
            self._worth[outside] = channel.receive()

    def state(self) -> Any:
        """All rows, on rank 0."""
        return [row for rows in self._group.gather([self._worth[y] for y in self._mine]) for row in rows]

    def restore(self, state: Any) -> None:
        """Go on with these rows."""
        self._worth = state

    def summary(self) -> str:
        """How far it is from S to G; nan if it was not found yet."""
        y = next(y for y, row in enumerate(MAZE) if "S" in row)
        rows = self.state()
        worth = rows[y][MAZE[y].index("S")] if rows else 0.0
        return f"distance={math.log(worth, DISCOUNT) if worth else math.nan:.0f}"


if __name__ == "__main__":
    sys.exit(main("nav", __doc__, Nav))
