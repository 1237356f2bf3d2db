"""Calls of SkyPilot's client with a timeout.

The client blocks without a limit if a server accepts a request and never responds. Each call therefore runs
in a thread of its own, which is abandoned at a timeout.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import TypeVar

from .errors import NoResponse
from .errors import translated
from .late_launches import LateLaunches

ResultT = TypeVar("ResultT")


class TimedCalls:
    """Runs calls; a launch that succeeds after its timeout is passed to ``late``."""

    def __init__(self, timeout: float, late: LateLaunches) -> None:
        self._timeout = timeout
        self._late = late

    def run(self, call: Callable[[], ResultT], launch: str = "") -> ResultT:
        """The result of ``call``. Raises BackendError.

        If the call launches a job, ``launch`` is the name of that job, and the result is the request's id.
        """
        results: list[ResultT] = []
        errors: list[BaseException] = []
        deciding = threading.Lock()
        given_up = threading.Event()

        def run() -> None:
            try:
                result = call()
            except BaseException as error:
                with deciding:
                    errors.append(error)
                    if launch and given_up.is_set():
                        self._late.failed(launch)
                return
            with deciding:
                results.append(result)
            if launch and given_up.is_set():
                self._late.arrived(launch, str(result))

        context = contextvars.copy_context()
        thread = threading.Thread(target=context.run, args=(run,), name="clusterjobs-skypilot", daemon=True)
        thread.start()
        thread.join(self._timeout)
        with deciding:
            if launch and not results and not errors:
                self._late.expect(launch)
                given_up.set()
        if results:
            return results[0]
        if not errors:
            raise NoResponse(f"SkyPilot's API server did not respond within {self._timeout:.0f} s")
        raise translated(errors[0]) from errors[0]
