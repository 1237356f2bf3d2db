"""The client of the containers' host process: start containers, signal them, read their output and ends."""

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
from pathlib import Path

SCRIPT = Path(__file__).with_name("containers.py")
MAX_READ_BYTES = 1 << 16


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended."""

    code: int | None = None
    """128+n for signal n; ``None`` if it never started."""
    out_of_memory: bool = False
    start_error: str | None = None
    """Why its program could not be started."""


@dataclass(slots=True)
class _Running:
    on_output: Callable[[bytes], None]
    on_exit: Callable[[Exit], None]
    output: int
    exit: Exit | None = None
    output_ended: bool = False


class Runtime:
    """All containers of one server. Callbacks come from one thread of its own.

    The containers end with this process, and this process ends with their host process.
    """

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (self._channel, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        self._host = subprocess.Popen(
            [sys.executable, "-I", "-S", str(SCRIPT)], stdin=theirs.fileno(), env={}
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
        self._new: list[int] = []
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
        """Start a container and return its number. ``memory`` is its limit in bytes."""
        listen, output = os.pipe()
        with self._lock:
            self._count += 1
            number = self._count
            self._running[number] = _Running(on_output, on_exit, listen)
            self._new.append(number)
        order = {"do": "run", "number": number, "argv": list(argv), "env": dict(env), "cwd": cwd}
        message = json.dumps({**order, "memory": memory}).encode()
        socket.send_fds(self._channel, [message], [output])
        os.close(output)
        os.write(self._woken, b".")
        return number

    def signal(self, container: int, number: int) -> None:
        """Send a signal to a container; it is ignored if the container has ended."""
        with contextlib.suppress(OSError):
            self._channel.send(
                json.dumps({"do": "signal", "number": container, "signal": int(number)}).encode()
            )

    def _listen(self) -> None:
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is self._channel:
                    data = self._channel.recv(MAX_READ_BYTES)
                    if not data:
                        # All containers have ended with the host process, and no other can be started.
                        print("error: the containers' host process has ended", flush=True)
                        os._exit(1)
                    self._on_exit(json.loads(data))
                elif key.fileobj == self._wake:
                    os.read(self._wake, MAX_READ_BYTES)
                else:
                    self._read(key.data)
            self._register_new()

    def _register_new(self) -> None:
        with self._lock:
            new, self._new = self._new, []
        for number in new:
            self._selector.register(self._running[number].output, selectors.EVENT_READ, number)

    def _on_exit(self, event: dict[str, object]) -> None:
        number = event.pop("number")
        assert isinstance(number, int)
        self._running[number].exit = Exit(**event)  # type: ignore[arg-type]
        self._finish(number)

    def _read(self, number: int) -> None:
        running = self._running[number]
        data = os.read(running.output, MAX_READ_BYTES)
        if data:
            _safely(lambda: running.on_output(data))
            return
        self._selector.unregister(running.output)
        os.close(running.output)
        running.output_ended = True
        self._finish(number)

    def _finish(self, number: int) -> None:
        running = self._running[number]
        if running.exit is not None and running.output_ended:
            with self._lock:
                del self._running[number]
            end = running.exit
            _safely(lambda: running.on_exit(end))


def _safely(call: Callable[[], None]) -> None:
    """Call ``call``; an exception in the callback of one container must not end the others."""
    try:
        call()
    except Exception:
        traceback.print_exc()
