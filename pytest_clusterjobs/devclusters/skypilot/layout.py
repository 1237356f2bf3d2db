"""The layout of a local SkyPilot, and the configuration files of its programs."""

from __future__ import annotations

import json
import os
import pwd
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..supervisor import Bind
from .shims import write_shims

CLUSTER = "clusterjobs"
"""SkyPilot's name of the Slurm cluster, as in ``infra: slurm/clusterjobs``."""

INHERITED = (
    *("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"),
    *("HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy"),
    *(
        "UV_INDEX",
        "UV_DEFAULT_INDEX",
        "UV_INDEX_URL",
        "UV_EXTRA_INDEX_URL",
        "UV_FIND_LINKS",
        "UV_CONFIG_FILE",
    ),
)
"""The only variables of the caller that reach a launched cluster: those that configure a package index."""


@dataclass(frozen=True, kw_only=True)
class SkyPilotLayout:
    """The folder of a local SkyPilot and of its Slurm cluster, and its ports."""

    folder: Path
    api_port: int
    ssh_port: int
    cache: Path
    """Packages that uv has downloaded for launched clusters."""

    @property
    def url(self) -> str:
        """The URL of the API server."""
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def home(self) -> Path:
        """The home of the API server and of its clients."""
        return self.folder / "home"

    @property
    def login(self) -> Path:
        """The home of a login to the Slurm cluster, on each of its nodes."""
        return self.folder / "login"

    @property
    def keys(self) -> Path:
        """The keys of ssh, and sshd's configuration."""
        return self.folder / "ssh"

    def write(self, programs: Mapping[str, str]) -> None:
        """Write the folders and the files."""
        for path in (self.home / ".sky", self.home / ".slurm", self.login / ".ssh", self.keys):
            path.mkdir(mode=0o700, parents=True)
        self.cache.mkdir(parents=True, exist_ok=True)
        self._write_keys(programs["ssh-keygen"])
        write_shims(self.folder / "shims", programs, Path(sys.executable).resolve())
        self._write_login()
        self._write_sky()

    def _write_keys(self, ssh_keygen: str) -> None:
        for name in ("host", "client"):
            subprocess.run(
                [
                    ssh_keygen,
                    "-q",
                    "-t",
                    "ed25519",
                    "-N",
                    "",
                    "-C",
                    "clusterjobs",
                    "-f",
                    str(self.keys / name),
                ],
                check=True,
                stdin=subprocess.DEVNULL,
            )
        (self.keys / "sshd_config").write_text(
            SSHD.format(keys=self.keys, port=self.ssh_port, user=_user().pw_name)
        )

    def _write_login(self) -> None:
        """Write a login's environment: the shims on its PATH, this cluster's Slurm, the package index."""
        variables = {
            "PATH": f"{self.folder / 'shims'}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SLURM_CONF": str(self.folder / "etc" / "slurm.conf"),
            **{name: os.environ[name] for name in INHERITED if name in os.environ},
        }
        # SkyPilot's shells are login shells, interactive shells, or both.
        text = "".join(f"export {name}='{value}'\n" for name, value in variables.items())
        for name in (".profile", ".bashrc"):
            (self.login / name).write_text(text)
        # Programs look up a user's home in /etc/passwd, and sshd rejects a user that /etc/shadow locks.
        (self.folder / "etc" / "passwd").write_text(passwd(self.login))
        (self.folder / "etc" / "passwd").chmod(0o644)
        (self.folder / "etc" / "shadow").write_text(f"{_user().pw_name}:*:::::::\n")

    def _write_sky(self) -> None:
        values = {"cluster": CLUSTER, "port": self.ssh_port, "user": _user().pw_name, "keys": self.keys}
        (self.home / ".slurm" / "config").write_text(SLURM_HOST.format(**values))
        (self.home / ".sky" / "config.yaml").write_text(SKY.format(**values))
        plugins = self.folder / "plugins"
        plugins.mkdir()
        shutil.copy(Path(__file__).with_name("netprobe.py"), plugins / "clusterjobs_netprobe.py")
        (self.home / ".sky" / "plugins.yaml").write_text(PLUGINS.format(url=f"{self.url}/api/health"))

    def accounts(self) -> tuple[Bind, ...]:
        """The files that make ``login`` this user's home, for programs that look it up by the user's name."""
        etc = self.folder / "etc"
        shadow = Path("/etc/shadow")
        hidden = (Bind(etc / "shadow", shadow),) if os.access(shadow, os.R_OK) else ()
        return (Bind(etc / "passwd", Path("/etc/passwd")), *hidden)

    def as_json(self) -> dict[str, Any]:
        """The layout for another process, JSON-serialisable."""
        return {**asdict(self), "folder": str(self.folder), "cache": str(self.cache)}

    @classmethod
    def read(cls, path: Path) -> SkyPilotLayout:
        """The layout that ``as_json`` returned, from a file."""
        values = json.loads(path.read_text())
        return cls(**{**values, "folder": Path(values["folder"]), "cache": Path(values["cache"])})


def passwd(home: Path) -> str:
    """/etc/passwd with ``home`` and bash for this user."""
    me = _user()
    own = f"{me.pw_name}:x:{me.pw_uid}:{me.pw_gid}::{home}:/bin/bash"
    others = (
        line for line in Path("/etc/passwd").read_text().splitlines() if not line.startswith(f"{me.pw_name}:")
    )
    return "\n".join((own, *others)) + "\n"


def _user() -> pwd.struct_passwd:
    return pwd.getpwuid(os.geteuid())


SSHD = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {keys}/host
AuthorizedKeysFile {keys}/client.pub
PidFile none
AllowUsers {user}
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
StrictModes no
MaxSessions 500
MaxStartups 500
PrintMotd no
Subsystem sftp internal-sftp
"""

SLURM_HOST = """\
Host {cluster}
  HostName 127.0.0.1
  Port {port}
  User {user}
  IdentityFile {keys}/client
  IdentitiesOnly yes
"""

SKY = """\
slurm:
  allowed_clusters: [{cluster}]
  provision_timeout: 120
  pricing: {{cpu: 0.04, memory: 0.005}}  # dollars an hour of a CPU and of a GB; simulated
  sbatch_options:
    time: 1-00:00:00  # a cluster would otherwise end after the partition's DefaultTime
jobs:
  controller:
    consolidation_mode: true  # the controller runs in the API server instead of on a cluster
"""

PLUGINS = """\
plugins:
  - class: clusterjobs_netprobe.NetProbe
    parameters:
      url: {url}
"""
