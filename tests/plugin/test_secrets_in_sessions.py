"""Secrets in sessions: nothing that pytest shows or keeps has their values, whatever tests do to the
environment."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

VALUE = "swordfish-42"

CLEARS = """
import os
import time

def test_clears_the_environment():
    while not os.path.exists("begun"):
        time.sleep(0.02)
    os.environ.clear()
    open("cleared", "w").close()
"""

PRINTS = r"""
recipes:
  a: |
    touch begun; while [ ! -e cleared ]; do sleep 0.05; done
    echo "password=$PASSWORD"
    printf '%s\033[0m%s\n' "${PASSWORD:0:5}" "${PASSWORD:5}"
    echo "$PASSWORD"
    head -c 8185 /dev/zero | tr '\0' x; exit 3
nodes: [1]
conditions:
  c:
    secrets: [PASSWORD]
    expect:
      log: {contains: [no such text], excludes: ['password=...']}
      metrics: {m: {pattern: 'password=(\S+)', min: 1}}
"""


@pytest.fixture
def session(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    monkeypatch.setenv("PASSWORD", VALUE)
    return pytester


def matrix(path: Path, text: str) -> None:
    (path / "matrices").mkdir()
    (path / "matrices" / "m.yaml").write_text(text)


def kept(path: Path) -> dict[str, str]:
    """What a session has left in files, but for the secrets themselves and the logs as the jobs wrote
    them."""
    files = [*path.glob("report.*"), *path.glob(".clusterjobs/runs/*/*")]
    found = {each.name: each.read_bytes().decode("latin-1") for each in files if each.is_file()}
    assert VALUE in found.pop("secrets")
    return found


@pytest.mark.parametrize("arguments", [[], ["-n2"]])
def test_a_test_that_clears_the_environment_changes_nothing(
    session: pytest.Pytester, arguments: list[str]
) -> None:
    session.makepyfile(CLEARS)
    matrix(session.path, PRINTS)
    result = session.runpytest_subprocess(
        *arguments, "--junitxml=report.xml", "-o", "junit_family=xunit1", "-vv", "-rA", timeout=60
    )
    result.assert_outcomes(passed=1, failed=1)
    files = kept(session.path)
    assert files.keys() >= {"report.xml", "report.json", "ledger.sqlite"}
    shown = result.stdout.str()
    assert "***" in shown
    for text in (shown, *files.values()):
        assert not re.search("swordf|dfish|sh-42", text)


@pytest.mark.parametrize("arguments", [[], ["-n2"]])
def test_a_job_from_python_has_a_log_without_values(session: pytest.Pytester, arguments: list[str]) -> None:
    session.makepyfile(
        """
        import os

        def test_logs(clusterjobs, monkeypatch):
            job = clusterjobs.submit("echo it is $PASSWORD; exit 3", secrets=("PASSWORD",))
            job.wait("30s")
            monkeypatch.delenv("PASSWORD")
            assert (job.logs(), job.logs(tail=6)) == ("it is ***\\n", "s ***\\n")
        """
    )
    result = session.runpytest_subprocess(*arguments, timeout=60)
    result.assert_outcomes(passed=1)
    assert VALUE not in "".join(kept(session.path).values())


def test_what_hooks_say_is_hidden_before_it_is_cut(session: pytest.Pytester) -> None:
    session.makeconftest(
        """
        import os

        def pytest_clusterjobs_check(log):
            return "-" * 290 + os.environ["PASSWORD"] + "-" * 100

        def pytest_clusterjobs_report_fields():
            raise ValueError("-" * 240 + os.environ["PASSWORD"])
        """
    )
    matrix(session.path, "recipes: {a: 'true'}\nnodes: [1]\nconditions: {c: {secrets: [PASSWORD]}}\n")
    result = session.runpytest_subprocess("-vv", timeout=60)
    result.assert_outcomes(failed=1)
    for text in (result.stdout.str(), *kept(session.path).values()):
        assert not re.search("swordf|dfish|sh-42", text)
