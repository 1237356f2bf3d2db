"""The site settings of a SkyPilot backend."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated
from typing import Any
from typing import Literal
from typing import Self

from pydantic import AfterValidator
from pydantic import Field
from pydantic import model_validator

from ..protocol import Capabilities
from ..settings import MustBe
from ..settings import SiteSettings


def _absolute(path: str) -> str:
    if not (path.isprintable() and path.startswith(("/", "~/"))):
        raise ValueError
    return path


Seconds = Annotated[float, Field(ge=0, le=3600), MustBe("seconds, 0 to 3600")]
Count = Annotated[int, Field(ge=1, le=1440), MustBe("a whole number, 1 to 1440")]


class OneCluster(SiteSettings):
    """The cluster that all jobs share; names are those of ``[tool.clusterjobs.backends.NAME.cluster]``."""

    name: Annotated[
        str,
        Field(pattern=r"^[a-z]([a-z0-9.-]*[a-z0-9])?$"),
        MustBe("a cluster's name: small letters, digits, - and ."),
    ]
    nodes: Count = 1
    """The number of its nodes; no job may have more."""
    resources: Annotated[Mapping[str, Any], MustBe("a table, as in a SkyPilot task")] = {}
    """Its resources, on top of those of ``task``; a job uses a part of them."""
    idle_minutes: Count = 10
    """Minutes without work after which a cluster is taken down, if this backend brought it up."""


class SkyPilotSettings(SiteSettings):
    """The settings of a site. Names are those of ``[tool.clusterjobs.backends.NAME]``."""

    task: Annotated[Mapping[str, Any], MustBe("a table, a fragment of a SkyPilot task")] = {}
    """The base of every task: a fragment of a SkyPilot task, such as its ``resources``."""
    mode: Annotated[Literal["managed", "cluster"], MustBe("managed or cluster")] = "managed"
    """``managed``, or ``cluster``: all jobs run on one cluster."""
    cluster: Annotated[OneCluster | None, MustBe("a table, such as {name = 'dev', nodes = 2}")] = None
    """That cluster."""
    state_dir: Annotated[
        str, AfterValidator(_absolute), MustBe("an absolute path, or one that begins with ~/")
    ] = "~/.clusterjobs"
    """A folder on the nodes for the count of starts and the heartbeat. In a folder that outlives a cluster (a
    mounted bucket, NFS), the count survives a restart on another cluster."""
    poll_interval: Seconds = 5.0
    """The least seconds between two polls of a job.

    SkyPilot looks at its jobs every 15 s, and a queue costs it 2 s.
    """
    find_settle: Seconds = 30.0
    """Seconds until a launch whose answer was lost is among the requests or jobs, if it has arrived."""
    teardown: Seconds = 120.0
    """Seconds that an ended job's cluster may take to go down; after that the job counts as ended anyway."""
    answer_timeout: Seconds = 120.0
    """Seconds in which the API server must answer."""

    @model_validator(mode="after")
    def _check_mode(self) -> Self:
        if (self.mode == "cluster") != (self.cluster is not None):
            raise ValueError("mode = 'cluster' and cluster = {name = NAME} go together")
        return self


def capabilities(settings: SkyPilotSettings) -> Capabilities:
    """The capabilities of a backend with these settings."""
    one = settings.cluster
    return Capabilities(
        ids_per_poll=100_000,
        # The server accepts a launch request at once; carrying it out takes seconds.
        submit_threads=1,
        min_poll_interval=settings.poll_interval,
        find_settle=settings.find_settle,
        log_settle=settings.teardown,
        restarts=one is None,
        max_nodes=None if one is None else one.nodes,
        remedies={} if one is None else _remedies(one),
    )


def _remedies(one: OneCluster) -> Mapping[str, str]:
    return {
        "max_nodes": f"raise nodes of the cluster {one.name} in the site settings",
        "restarts": "use mode = 'managed', jobs of one cluster are started once",
    }
