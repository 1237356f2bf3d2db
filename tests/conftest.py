from __future__ import annotations

import signal

import pytest

# Shells and many CI systems start background jobs with SIGINT ignored. The processes that tests start and
# interrupt would inherit this. A handler is not inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """Runs pytest without plugins of the development tools, which take a third of the time of a session."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-p no:anyio -p no:hypothesispytest")
    return pytester
