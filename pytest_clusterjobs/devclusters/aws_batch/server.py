"""The server process of a local AWS Batch; its argument is the folder."""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path
from typing import Any

from werkzeug.serving import make_server
from werkzeug.serving import WSGIRequestHandler

from .client import ADDRESS
from .client import BatchClient
from .control import Controls
from .faults import Faults
from .gateway import Gateway
from .host import Host
from .model import Image
from .moto_internals import application
from .moto_internals import DEFAULT_ACCOUNT_ID
from .moto_internals import Logs
from .moto_internals import MotoClient
from .pages import Pages
from .queues import Queues
from .runtime import Runtime
from .scheduler import ComputeEnvironment
from .scheduler import EmulatedScheduler
from .secrets import EmulatedSecrets
from .service import Service
from .timers import Timers


class QuietHandler(WSGIRequestHandler):
    """Does not log each request."""

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        """Do nothing."""


def main() -> None:
    """Serve until the process is killed; ``server.json`` is written as soon as the server is ready."""
    folder = Path(sys.argv[1])
    options = json.loads((folder / "options.json").read_text())
    key = f"LOCAL{secrets.token_hex(16).upper()}"
    gateway, controls = build(folder, key, options)
    server = make_server(ADDRESS, options["port"], gateway, threaded=True, request_handler=QuietHandler)
    controls.create_defaults(options["queue"], options["environment"])
    info = {"port": server.server_port, "key": key, "region": options["region"], "queue": options["queue"]}
    draft = folder / "server.draft"
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(info))
    draft.rename(folder / BatchClient.ready_file)
    server.serve_forever()


def build(folder: Path, key: str, options: dict[str, Any]) -> tuple[Gateway, Controls]:
    """The application, and the object that carries out control requests."""
    # moto reads these files, and must not read the user's own.
    os.environ.update(AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
    moto = application()
    client = MotoClient(moto)
    timers, faults, queues = Timers(), Faults(), Queues(client)
    host = Host(folder / "containers", Runtime(), timers, Logs(), EmulatedSecrets(client))
    slots, region, workdir = options["slots"], options["region"], options["workdir"]
    scheduler = EmulatedScheduler(ComputeEnvironment(slots, Image(workdir=workdir)), host, timers)
    made: dict[tuple[str, str], Service] = {}

    def services(account: str, region: str) -> Service:
        with scheduler.lock:
            if (account, region) not in made:
                made[account, region] = Service(
                    account, region, scheduler, lambda name: queues.arn(account, region, name)
                )
            return made[account, region]

    pages = Pages(moto)
    controls = Controls(scheduler, queues, faults, pages, services, (DEFAULT_ACCOUNT_ID, region))
    return Gateway(key, moto, services, queues, faults, pages, controls), controls


if __name__ == "__main__":
    main()
