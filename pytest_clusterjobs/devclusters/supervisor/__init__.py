"""The daemons of clusters on this machine; none of them outlives the processes that use the cluster."""

from __future__ import annotations

from .commands import run_command as run_command
from .commands import wait_until as wait_until
from .daemons import Daemons as Daemons
from .errors import ClusterError as ClusterError
from .errors import CommandFailed as CommandFailed
from .errors import from_debian as from_debian
from .errors import from_extra as from_extra
from .errors import Missing as Missing
from .errors import TimedOut as TimedOut
from .local_cluster import inherited_environment as inherited_environment
from .local_cluster import LocalCluster as LocalCluster
from .local_cluster import make_empty_folder as make_empty_folder
from .namespaces import below as below
from .namespaces import Bind as Bind
from .namespaces import MountNamespace as MountNamespace
