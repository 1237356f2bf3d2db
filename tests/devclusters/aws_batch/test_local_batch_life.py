"""A local AWS Batch ends with its users and leaves nothing, and other users cannot access it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytest_clusterjobs.devclusters.aws_batch import BatchClient
from pytest_clusterjobs.devclusters.aws_batch import LocalBatch
from pytest_clusterjobs.devclusters.supervisor import ClusterError
from tests.devclusters.aws_batch.batch_user import BatchUser
from tests.devclusters.aws_batch.batch_user import clients
from tests.devclusters.aws_batch.batch_user import processes
from tests.devclusters.aws_batch.batch_user import wait_until

STUBBORN = "setsid sh -c \"trap '' TERM HUP; sleep {mark}; :\" & trap '' TERM; echo up; sleep {mark}; :"
"""A job that ignores TERM, with a child in another session."""


def mark(folder: Path) -> str:
    """A number of seconds that only the processes of one test have on their command line."""
    return f"6{abs(hash(str(folder))) % 10**8}"


def pid_of(word: str) -> int:
    """The process that has a word on its command line after the program's path."""
    (line,) = [each for each in processes(word) if "devclusters.aws_batch.server" in each]
    return int(line.split()[0])


@pytest.fixture
def stubborn(tmp_path: Path) -> Iterator[tuple[LocalBatch, str]]:
    """A local AWS Batch with a job that ignores signals, and the word on its processes' command lines."""
    word = mark(tmp_path)
    batch = LocalBatch(tmp_path / "aws")
    with batch:
        user = BatchUser(batch, "", clients(batch, ""))
        user.wait_for_log(user.submit(STUBBORN.format(mark=word)), "up")
        assert len(processes(f"sleep {word}")) >= 2
        yield batch, word


def test_jobs_end_with_the_with_block(stubborn: tuple[LocalBatch, str]) -> None:
    batch, word = stubborn
    folder = str(batch.folder)
    batch.stop()
    assert processes(word) == []
    assert processes(folder) == []
    batch.stop()


def test_jobs_end_with_a_server_that_is_killed(stubborn: tuple[LocalBatch, str]) -> None:
    batch, word = stubborn
    os.kill(pid_of(str(batch.folder)), signal.SIGKILL)
    wait_until(lambda: not processes(word), "the jobs to end")
    assert "server ended" in wait_until(lambda: check_error(batch), "an error")


def check_error(batch: LocalBatch) -> str:
    """The message of ``check``; empty if there is none."""
    try:
        batch.check()
    except ClusterError as error:
        return str(error)
    return ""


def test_jobs_end_with_their_host_process(stubborn: tuple[LocalBatch, str]) -> None:
    batch, word = stubborn
    server = pid_of(str(batch.folder))
    (host,) = [line for line in processes("containers.py") if parent(int(line.split()[0])) == server]
    os.kill(int(host.split()[0]), signal.SIGKILL)
    wait_until(lambda: not processes(word), "the jobs to end")
    wait_until(lambda: not processes(str(batch.folder)), "the server to end")
    assert "server ended: error: the containers' host process has ended" in wait_until(
        lambda: check_error(batch), "an error"
    )


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[1])


OWNER = """
import time
from pytest_clusterjobs.devclusters.aws_batch import LocalBatch
batch = LocalBatch()
batch.start()
print(batch.folder, flush=True)
time.sleep(600)
"""


def test_everything_ends_if_the_owner_is_killed(tmp_path: Path) -> None:
    word = mark(tmp_path)
    with subprocess.Popen([sys.executable, "-c", OWNER], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        folder = owner.stdout.readline().strip()
        batch = BatchClient.at(Path(folder))
        user = BatchUser(batch, "", clients(batch, ""))
        user.wait_for_log(user.submit(STUBBORN.format(mark=word)), "up")
        owner.kill()
    wait_until(lambda: not processes(word), "the jobs to end")
    wait_until(lambda: not processes(folder), "the server to end")
    wait_until(lambda: not Path(folder).exists(), "the temporary folder to vanish")


def test_the_server_listens_on_the_loopback_interface_only(user: BatchUser) -> None:
    port = int(user.local.url.rsplit(":", 1)[1])
    tables = [Path("/proc/net/tcp").read_text(), Path("/proc/net/tcp6").read_text()]
    rows = [line.split() for table in tables for line in table.splitlines()[1:]]
    listening = {row[1] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"}
    assert listening == {f"0100007F:{port:04X}"}


def test_a_folder_that_is_not_empty_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mine").touch()
    with pytest.raises(ClusterError, match="is not empty"):
        LocalBatch(tmp_path)


def test_a_port_in_use_is_an_error_of_one_line(user: BatchUser, tmp_path: Path) -> None:
    port = int(user.local.url.rsplit(":", 1)[1])
    batch = LocalBatch(tmp_path / "aws", port=port)
    with pytest.raises(ClusterError, match=r"server ended: .*in use") as caught:
        batch.start()
    assert "\n" not in str(caught.value)


def test_a_shared_server_ends_with_its_last_user(user: BatchUser, tmp_path: Path) -> None:
    with LocalBatch.shared(tmp_path / "shared") as first:
        with LocalBatch.shared(tmp_path / "shared") as second:
            assert second.url == first.url
        assert first.calls() == {}
    with pytest.raises(ClusterError, match="does not answer"):
        first.calls()


def test_the_user_s_own_aws_settings_are_not_used(user: BatchUser) -> None:
    given = user.local.environment
    assert given["AWS_CONFIG_FILE"] == given["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull
    assert {given[name] for name in given if name.startswith("AWS_ENDPOINT_URL")} == {user.local.url}


def test_the_folder_of_an_ended_job_is_removed(user: BatchUser) -> None:
    seen = user.run('touch "$HOME/mine" "$TMPDIR/mine"; echo "$HOME"')
    assert not Path(user.log(seen["container"])[0]).exists()
