"""The server's side of the containers: start them, signal them, hear their output and how they ended."""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import socket
import subprocess
import sys
import threading
import traceback
from collections.abc import Callable
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from pathlib import Path

SCRIPT = Path(__file__).with_name("containers.py")
READ = 1 << 16
NOTHING: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended."""

    code: int | None = None
    """128+n for signal n; none if it never started."""
    out_of_memory: bool = False
    refused: str | None = None
    """Why its program could not be started."""


@dataclass(slots=True)
class _Running:
    on_output: Callable[[bytes], None]
    on_exit: Callable[[Exit], None]
    output: int
    exit: Exit | None = None
    silent: bool = field(default=False)
    """Its output has ended."""


class Runtime:
    """All containers of one server. Callbacks come from a thread of its own, one at a time.

    They end with this process, and it ends with their host.
    """

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._channel, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._host = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SCRIPT)], stdin=theirs.fileno(), env=NOTHING
        )
        theirs.close()
        self._lock = threading.Lock()
        self._running: dict[int, _Running] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._channel, selectors.EVENT_READ)
        self._wake, wake = os.pipe()
        self._woken = wake
        self._selector.register(self._wake, selectors.EVENT_READ)
        self._count = 0
        self._fresh: list[int] = []
        self._thread = threading.Thread(target=self._listen, name="containers", daemon=True)
        self._thread.start()

    def run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        cwd: str,
        memory: int | None,
        on_output: Callable[[bytes], None],
        on_exit: Callable[[Exit], None],
    ) -> int:
        """Start a container: its number. ``memory`` is in bytes."""
        listen, output = os.pipe()
        with self._lock:
            self._count += 1
            number = self._count
            self._running[number] = _Running(on_output, on_exit, listen)
            self._fresh.append(number)
        order = {"do": "run", "number": number, "argv": list(argv), "env": dict(env), "cwd": cwd}
        message = json.dumps({**order, "memory": memory}).encode()
        socket.send_fds(self._channel, [message], [output])
        os.close(output)
        os.write(self._woken, b".")
        return number

    def signal(self, number: int, how: int) -> None:
        """Signal a container; one that has ended does not mind."""
        with contextlib.suppress(OSError):
            self._channel.send(json.dumps({"do": "signal", "number": number, "how": int(how)}).encode())

    def _listen(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._channel:
                    data = self._channel.recv(READ)
                    if not data:
                        # All containers have ended with it, and none can be started any more.
                        print("the containers' host is gone", flush=True)
                        os._exit(1)
                    self._hear(json.loads(data))
                elif key.fileobj == self._wake:
                    os.read(self._wake, READ)
                else:
                    self._read(key.data)
            self._adopt()

    def _adopt(self) -> None:
        with self._lock:
            fresh, self._fresh = self._fresh, []
        for number in fresh:
            self._selector.register(self._running[number].output, selectors.EVENT_READ, number)

    def _hear(self, event: dict[str, object]) -> None:
        number = event.pop("number")
        assert isinstance(number, int)
        self._running[number].exit = Exit(**event)  # type: ignore[arg-type]
        self._finish(number)

    def _read(self, number: int) -> None:
        running = self._running[number]
        data = os.read(running.output, READ)
        if data:
            _safely(lambda: running.on_output(data))
            return
        self._selector.unregister(running.output)
        os.close(running.output)
        running.silent = True
        self._finish(number)

    def _finish(self, number: int) -> None:
        running = self._running[number]
        if running.exit is not None and running.silent:
            with self._lock:
                del self._running[number]
            how = running.exit
            _safely(lambda: running.on_exit(how))


def _safely(call: Callable[[], None]) -> None:
    """A bug in what becomes of one container must not be the end of the others."""
    try:
        call()
    except Exception:
        traceback.print_exc()
