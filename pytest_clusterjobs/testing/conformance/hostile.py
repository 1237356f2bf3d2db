"""Text that could be interpreted as something else, and text that must not be visible."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from ...model import Reason
from ..cluster import Cluster
from ..cluster import SubmittedJob
from .base import need_same_host
from .base import need_shared
from .base import Suite

HOSTILE = (
    "",
    " ",
    "two words",
    "it's",
    'say "it"',
    "back\\slash\\",
    "$(echo substituted)",
    "`echo substituted`",
    "$HOME ${HOME}",
    "line one\nline two\n",
    "tab\there",
    "--help",
    "-n",
    "%s %d %%",
    "*",
    "~root",
    "; exit 9 #",
    "a && b || c & d > e < f",
    "!!",
    "{a,b} [x] ?",
    "naïve 日本語 😀",
    "\x1b[31mred\x07",
    "{{ mustache }}",
)
"""Arguments and values that must arrive unchanged."""

_SHOW = """
show() { printf 'value:'; printf '%s' "$1" | od -An -v -tx1 | tr -d ' \\n'; echo; }
"""
_SECRET = "s3cr3t 'quoted' $(echo x) äö\nsecond line"
_SECRET_NAME = "CONFORMANCE_SECRET"


class HostileTests(Suite):
    """Quoting and secrets."""

    def test_arguments_arrive_unchanged(self, cluster: Cluster) -> None:
        job = cluster.submit(f'{_SHOW} for each in "$@"; do show "$each"; done', args=HOSTILE)
        assert cluster.end(job).reason == Reason.JOB_COMPLETED
        assert _shown(cluster, job) == list(HOSTILE)

    def test_values_of_env_arrive_unchanged(self, cluster: Cluster) -> None:
        env = {f"HOSTILE_{i}": value for i, value in enumerate(HOSTILE)}
        show = "\n".join(f'show "${name}"' for name in env)
        job = cluster.submit(_SHOW + show, env=env)
        assert cluster.end(job).reason == Reason.JOB_COMPLETED
        assert _shown(cluster, job) == list(HOSTILE)

    @pytest.mark.parametrize("shell", ["bash", "sh"])
    def test_a_script_runs_unchanged(self, cluster: Cluster, shell: str) -> None:
        run = """
            # it's a "comment" with `ticks` and $(parens
            printf '%s|' 'it'"'"'s' "a \\"b\\"" "$(echo sub)" "`echo tick`" '$HOME' '%d' \\
                'naïve' "\\\\" -- '*'
            cat <<'END'
here'doc $x
END
        """
        job = cluster.submit(run, shell=shell)
        outcome = cluster.end(job)
        assert outcome.reason == Reason.JOB_COMPLETED, outcome.detail
        text = cluster.log(job)
        assert "it's|a \"b\"|sub|tick|$HOME|%d|naïve|\\|--|*|here'doc $x" in text

    @pytest.mark.parametrize("name", ["-n", "--help", "a.b+c_d-e", "...", "A" * 200])
    def test_a_name_is_not_interpreted(self, cluster: Cluster, name: str) -> None:
        job = cluster.submit('echo "name=$CLUSTERJOBS_CELL"; exit 3', name=name)
        assert cluster.end(job).exit_code == 3
        assert f"name={name}" in cluster.printed(job)

    def test_a_log_that_imitates_the_sentinel_is_ignored(self, cluster: Cluster) -> None:
        run = "echo '[clusterjobs 0123456789ab exited exit_code=0 node=0 restarts=0 heartbeats=0]'; exit 3"
        assert cluster.run(run).exit_code == 3

    def test_a_secret_reaches_the_job(self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv(_SECRET_NAME, _SECRET)
        job = cluster.submit(f'{_SHOW} show "${_SECRET_NAME}"', secrets=(_SECRET_NAME,))
        assert cluster.end(job).reason == Reason.JOB_COMPLETED
        assert _shown(cluster, job) == [_SECRET]

    def test_a_secret_is_not_in_handles_and_observations(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv(_SECRET_NAME, _SECRET)
        job = cluster.submit(f'test -n "${_SECRET_NAME}"', secrets=(_SECRET_NAME,))
        observation = cluster.wait(job)
        reported = json.dumps(asdict(job.handle), ensure_ascii=False) + repr(observation)
        assert "s3cr3t" not in reported
        assert cluster.end(job).reason == Reason.JOB_COMPLETED

    def test_a_secret_is_in_no_file_and_no_process_list(
        self, cluster: Cluster, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        need_same_host(cluster)
        flag, begun = need_shared(cluster) / "go", need_shared(cluster) / "begun"
        monkeypatch.setenv(_SECRET_NAME, _SECRET)
        run = f"test -n \"${_SECRET_NAME}\"; touch '{begun}'; until [ -e '{flag}' ]; do sleep 0.1; done"
        job = cluster.submit(run, secrets=(_SECRET_NAME,))
        # On its way to the command, a secret may be in a file that only its owner can read.
        cluster.eventually(begun.exists)
        assert _places_with(b"s3cr3t", cluster.folder) == []
        flag.touch()
        assert cluster.end(job).reason == Reason.JOB_COMPLETED
        assert _places_with(b"s3cr3t", cluster.folder) == []


def _shown(cluster: Cluster, job: SubmittedJob) -> list[str]:
    found = re.findall(r"^value:([0-9a-f]*)$", cluster.log(job), re.MULTILINE)
    return [bytes.fromhex(each).decode() for each in found]


def _places_with(needle: bytes, folder: Path) -> list[str]:
    paths = [*Path("/proc").glob("[0-9]*/cmdline"), *(path for path in folder.rglob("*") if path.is_file())]
    return [str(path) for path in paths if needle in _bytes(path)]


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
