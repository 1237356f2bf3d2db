"""Shows a program a machine of its own, and becomes it: ``unshare.py ROOM PROGRAM ARGUMENT...``, ROOM being JSON.

A script: it imports nothing of ours. What it changes is seen by that program and its descendants alone, and is gone
with the last of them: a host name, files and folders in the place of others. That needs no root where ordinary users
may have user namespaces.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
from contextlib import suppress

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWUSER = 0x00020000, 0x04000000, 0x10000000
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
LIBC = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """Make the room, then exec. What fails is said in one line."""
    room, argv = json.loads(sys.argv[1]), sys.argv[2:]
    try:
        _leave_the_machine()
        if room["hostname"]:
            socket.sethostname(room["hostname"])
        for source, target, kept in room["binds"]:
            _bind(source, target, kept)
        os.execv(argv[0], argv)
    except OSError as error:
        sys.exit(f"fatal: {error}")


def _leave_the_machine() -> None:
    user, group = os.geteuid(), os.getegid()
    if user == 0:
        _unshare(CLONE_NEWNS | CLONE_NEWUTS)
    else:
        _unshare(CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWUSER)
        for name, text in (
            ("setgroups", "deny"),
            ("uid_map", f"{user} {user} 1"),
            ("gid_map", f"{group} {group} 1"),
        ):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
    _mount(None, "/", MS_REC | MS_PRIVATE)


def _bind(source: str, target: str, kept: list[str]) -> None:
    """Put ``source`` over ``target``, but for the folders ``kept`` below it, which stay where they are."""
    held = [(path, os.open(path, os.O_PATH)) for path in kept]
    _mount(source, target, MS_BIND)
    for path, descriptor in held:
        with suppress(FileExistsError):
            os.makedirs(path)
        _mount(f"/proc/self/fd/{descriptor}", path, MS_BIND | MS_REC)
        os.close(descriptor)


def _unshare(flags: int) -> None:
    if LIBC.unshare(flags):
        raise OSError(ctypes.get_errno(), "no namespaces for this user")


def _mount(source: str | None, target: str, flags: int) -> None:
    if LIBC.mount(source and os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(flags), None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), source, None, target)


if __name__ == "__main__":
    main()
