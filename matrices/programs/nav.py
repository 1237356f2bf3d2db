"""Find the way through a maze: value iteration, the rows of the maze split over the ranks.

In each step a rank exchanges border rows with its two neighbours, and the largest change on any rank is
computed. The result does not depend on the number of ranks.
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
    """Connect to the ranks before and after this one, if they exist. Raises PeerLost."""
    before: list[Channel] = []
    with listen(job, (group.host, 0), until=group.until) as server:
        hosts = group.broadcast(group.gather(server.getsockname()[:2]))
        if job.rank > 0:
            address = (hosts[job.rank - 1][0], hosts[job.rank - 1][1])
            before = [connect(job, job.rank - 1, address, until=group.until, timeout=group.peer_timeout)]
        wanted = {job.rank + 1} - {job.world}
        after = accept(job, server, wanted, until=group.until, timeout=group.peer_timeout)
    return before + after


class Nav:
    """The value of each place in the maze, and the rows that one rank computes."""

    def __init__(self, job: Job, group: Group) -> None:
        if job.world > len(MAZE):
            raise SystemExit(f"nav: a maze of {len(MAZE)} rows cannot be split over {job.world} ranks")
        self._job = job
        self._group = group
        self._neighbours = join_chain(job, group)
        self._mine = range(len(MAZE) * job.rank // job.world, len(MAZE) * (job.rank + 1) // job.world)
        self._values = [[float(place == "G") for place in row] for row in MAZE]

    def step(self, number: int) -> float:
        """One sweep over this rank's rows; returns the largest change on any rank."""
        self._swap_borders()
        old = [row[:] for row in self._values]
        for y in self._mine:
            for x, place in enumerate(MAZE[y]):
                if place in "S.":
                    around = (old[y - 1][x], old[y + 1][x], old[y][x - 1], old[y][x + 1])
                    self._values[y][x] = DISCOUNT * max(around)
        changes = (abs(self._values[y][x] - old[y][x]) for y in self._mine for x in range(len(MAZE[y])))
        return self._group.allreduce([max(changes)], max)[0]

    def _swap_borders(self) -> None:
        for channel in self._neighbours:
            channel.send(self._values[self._mine[0 if channel.peer < self._job.rank else -1]])
        for channel in self._neighbours:
            outside = self._mine[0] - 1 if channel.peer < self._job.rank else self._mine[-1] + 1
            self._values[outside] = channel.receive()

    def state(self) -> Any:
        """All rows, on rank 0."""
        return [row for rows in self._group.gather([self._values[y] for y in self._mine]) for row in rows]

    def restore(self, state: Any) -> None:
        """Continue with these rows."""
        self._values = state

    def summary(self) -> str:
        """The distance from S to G; nan if no path was found yet."""
        y = next(y for y, row in enumerate(MAZE) if "S" in row)
        rows = self.state()
        value = rows[y][MAZE[y].index("S")] if rows else 0.0
        return f"distance={math.log(value, DISCOUNT) if value else math.nan:.0f}"


if __name__ == "__main__":
    sys.exit(main("nav", __doc__, Nav))
