"""Submit one job in a process of its own, ``python -m ...submit_in_subprocess [PATH ...]``.

The arguments of :func:`submit` are read from standard input, pickled, and the handle is printed as JSON.
``PATH`` is appended to ``sys.path``.
"""

from __future__ import annotations

import json
import pickle
import sys
from dataclasses import asdict
from pkgutil import resolve_name

from ..backends.protocol import BackendContext
from ..model import Handle
from ..model import JobSpec


def submit(backend: str, context: BackendContext, spec: JobSpec, token: str) -> Handle:
    """Open the backend of the type ``backend`` (``module:NAME``), submit the job, and close the backend."""
    opened = resolve_name(backend).open(context)
    handle: Handle = opened.submit(spec, token)
    opened.close()
    return handle


if __name__ == "__main__":
    sys.path += sys.argv[1:]
    print(json.dumps(asdict(submit(*pickle.load(sys.stdin.buffer)))))
