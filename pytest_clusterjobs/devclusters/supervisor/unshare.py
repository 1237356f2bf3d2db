"""Run a program in namespaces of its own: ``unshare.py NAMESPACE PROGRAM ARGUMENT...``, NAMESPACE as JSON.

This is a script; it imports nothing of this package. The host name and the replaced files and folders are
visible only to the program and its descendants, and are gone with the last of them. Root is not needed if
ordinary users may create user namespaces.
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
    """Make the namespaces, then exec. An error is reported in one line."""
    namespace, argv = json.loads(sys.argv[1]), sys.argv[2:]
    try:
        _make_namespaces()
        if namespace["hostname"]:
            socket.sethostname(namespace["hostname"])
        for source, target, kept in namespace["binds"]:
            _bind(source, target, kept)
        os.execv(argv[0], argv)
    except OSError as error:
        sys.exit(f"fatal: {error}")


def _make_namespaces() -> None:
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
    """Mount ``source`` over ``target``; the folders ``kept`` below the target stay visible."""
    held = [(path, os.open(path, os.O_PATH)) for path in kept]
    _mount(source, target, MS_BIND)
    for path, descriptor in held:
        with suppress(FileExistsError):
            os.makedirs(path)
        _mount(f"/proc/self/fd/{descriptor}", path, MS_BIND | MS_REC)
        os.close(descriptor)


def _unshare(flags: int) -> None:
    if LIBC.unshare(flags):
        raise OSError(ctypes.get_errno(), "this user may not create namespaces")


def _mount(source: str | None, target: str, flags: int) -> None:
    if LIBC.mount(source and os.fsencode(source), os.fsencode(target), None, ctypes.c_ulong(flags), None):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), source, None, target)


if __name__ == "__main__":
    main()
