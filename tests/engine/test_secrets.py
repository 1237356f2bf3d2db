"""Secrets: what is hidden in a text, and the file by which every process that reads a log of the run knows
it."""

from __future__ import annotations

import json
import os
import stat
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any
from typing import cast

import pytest

from pytest_clusterjobs.backends import sentinel
from pytest_clusterjobs.backends.protocol import Backend
from pytest_clusterjobs.backends.protocol import BackendError
from pytest_clusterjobs.backends.protocol import Capabilities
from pytest_clusterjobs.engine.hiding import Hiding
from pytest_clusterjobs.engine.hiding import HidingStream
from pytest_clusterjobs.engine.hiding import MASK
from pytest_clusterjobs.engine.hiding import normal
from pytest_clusterjobs.engine.hiding import too_short
from pytest_clusterjobs.engine.logs import LogReader
from pytest_clusterjobs.engine.secrets import Secrets
from pytest_clusterjobs.engine.secrets import SECRETS_FILE
from pytest_clusterjobs.ledger.ledger import LedgerError
from pytest_clusterjobs.model import Handle
from pytest_clusterjobs.model import JobSpec
from pytest_clusterjobs.model import LogChunk
from pytest_clusterjobs.model import Observation
from pytest_clusterjobs.model import Phase
from pytest_clusterjobs.model import Reason
from pytest_clusterjobs.model import SentinelReport
from pytest_clusterjobs.model import SentinelWord
from pytest_clusterjobs.model import Verdict
from pytest_clusterjobs.model.text import clean
from pytest_clusterjobs.model.token import Token
from tests.engine.engine_rig import engine_rig
from tests.engine.engine_rig import entry

VALUE = "swordfish-42"
KEY = "-----BEGIN KEY-----\nMIIEpAIB\n+/ab\nx=\n-----END KEY-----\n"
TOKEN = str(Token.of("run", "matrices/a.yaml::cell", 1))


def hiding(*values: str) -> Hiding:
    return Hiding([normal(value) for value in values])


# What is hidden.


@pytest.mark.parametrize(
    "shown",
    [
        VALUE,
        f"\x1b[31m{VALUE}\x1b[0m",
        "sword\x1b[1;31mfish\x1b[0m-42",
        "sword\x9b0mfish-42",
        "\x1b]0;title\x07sword\x1b(Bfish-42",
        "sword\rfish-42",
        "sword\x00fish\x08-42",
        f"\x1b{VALUE}",
    ],
)
def test_what_interrupts_a_value_does_not_show_it(shown: str) -> None:
    text = f"10%\r20%\nthe password is {shown}.\n"
    found = hiding(VALUE).hide(text)
    assert found.startswith("10%\r20%\nthe password is ")
    assert found.endswith(".\n")
    assert MASK in found
    for part in ("word", "fish", "42"):
        assert part not in clean(found).replace("password", "")


@pytest.mark.parametrize("value", [f"{VALUE}\n", f"  {VALUE}\r\n", f"\x1b[1m{VALUE}", f"\n{VALUE}\t"])
def test_white_space_and_colours_around_a_value_are_no_part_of_it(value: str) -> None:
    assert hiding(value).hide(f"a {VALUE} b") == f"a {MASK} b"


@pytest.mark.parametrize(
    "shown",
    [
        KEY,
        KEY.replace("\n", "\r\n"),
        KEY.replace("\n", "\n    "),
        KEY.replace("\n", "  \n\n\t"),
        KEY.replace("\n", "\n(head, rank=0, pid=7) "),
        KEY.replace("\n", "\x1b[0m\n\x1b[36m"),
    ],
)
def test_a_value_of_several_lines_is_hidden_as_a_whole(shown: str) -> None:
    found = hiding(KEY).hide(f"key: {shown}done")
    assert clean(found).split()[:2] == ["key:", MASK]
    assert not any(line in found for line in KEY.splitlines())


def test_each_line_of_a_value_is_hidden_where_it_stands_alone() -> None:
    found = hiding(KEY).hide("now MIIEpAIB, then +/ab; x= is too short")
    assert found == f"now {MASK}, then {MASK}; x= is too short"


def test_values_that_overlap_leave_nothing_of_each_other() -> None:
    assert hiding("abcdef", "cdefghij").hide("<abcdefghij>") == f"<{MASK}>"
    assert hiding("abcdef", "abcd").hide("<abcdef abcd>") == f"<{MASK} {MASK}>"
    assert hiding("abab").hide("<ababab>") == f"<{MASK}>"


def test_a_value_in_another_encoding_than_the_log_s_is_hidden_all_the_same() -> None:
    value = os.fsdecode(b"p\xe4ssword")
    assert hiding(value).hide(b"it is p\xe4ssword".decode("utf-8", "replace")) == f"it is {MASK}"
    assert hiding("pässwörd").hide("it is pässwörd") == f"it is {MASK}"


@pytest.mark.parametrize(
    ("value", "short"),
    [("", False), (" \n", False), ("abc", True), ("abc\n", True), ("a\nb\nc", True), ("abcd", False)],
)
def test_which_values_are_too_short(value: str, short: bool) -> None:
    assert too_short(value) == short


def test_no_value_means_no_change() -> None:
    for text in ("", "x", "\x1b[3"):
        assert hiding("").hide(text, begins=False, ends=False) == text
    assert hiding(VALUE).hide("", begins=False, ends=False) == ""


def test_where_the_values_are_not_known_nothing_is_shown() -> None:
    assert Hiding(unknown="no such file").hide("anything") == MASK


# Edges.


@pytest.mark.parametrize("value", [VALUE, KEY])
def test_a_part_of_a_value_at_an_edge_is_hidden(value: str) -> None:
    form = normal(value)
    for cut in range(1, len(form)):
        before = hiding(value).hide(f"it is {form[:cut]}", ends=False)
        assert before.rstrip("\n") == f"it is {MASK}"
        after = hiding(value).hide(f"{form[cut:]} it is", begins=False)
        assert after == f"{MASK} it is" or (after.lstrip("\n") == f"{MASK} it is")


def test_the_end_of_a_log_is_no_edge() -> None:
    assert hiding(VALUE).hide("fish-42 is no sword") == "fish-42 is no sword"


@pytest.mark.parametrize("value", [VALUE, KEY])
@pytest.mark.parametrize("noise", ["", "\x1b[1;31m", "\x1b]8;;http://x\x07", "\r"])
def test_a_value_that_is_split_over_reads_is_hidden(value: str, noise: str) -> None:
    shown = noise.join(value)
    text = f"before {shown} after {shown}"
    for first in range(len(text)):
        stream = HidingStream(lambda: hiding(value))
        pieces = [stream.feed(text[:first], last=False, ends=False)]
        pieces.append(stream.feed(text[first:], last=True, ends=True))
        assert clean("".join(pieces)).split() == ["before", MASK, "after", MASK]


def test_a_value_that_arrives_character_by_character_is_hidden() -> None:
    text = f"a sword, a fish, {VALUE} and swordfish\nnext\n"
    stream = HidingStream(lambda: hiding(VALUE))
    shown = [stream.feed(char, last=False, ends=False) for char in text]
    assert "".join(shown) == f"a sword, a fish, {MASK} and swordfish\nnext\n"


def test_what_cannot_be_the_beginning_of_a_value_is_shown_at_once() -> None:
    stream = HidingStream(lambda: hiding(VALUE))
    assert stream.feed("step 1\n", last=False, ends=False) == "step 1\n"
    assert stream.feed("sw", last=False, ends=False) == ""
    assert stream.feed("eet\n", last=False, ends=False) == "sweet\n"


def test_what_a_job_that_goes_on_has_begun_to_print_is_not_shown() -> None:
    stream = HidingStream(lambda: hiding(VALUE))
    assert stream.feed("it is sword\x1b[3", last=True, ends=False) == f"it is {MASK}\x1b[3"


def test_a_value_that_a_run_learns_meanwhile_is_hidden() -> None:
    known = [hiding()]
    stream = HidingStream(lambda: known[-1])
    assert stream.feed(f"{VALUE}\n", last=False, ends=False) == f"{VALUE}\n"
    known.append(hiding(VALUE))
    assert stream.feed(f"{VALUE}\n", last=False, ends=False) == f"{MASK}\n"


def test_large_logs_cost_little() -> None:
    """Also those that are made to be expensive."""
    found = hiding(VALUE, KEY)
    for line in (
        "x" * 100 + "\n",
        " " * 1000 + "x",
        "\x1b[31m-\x1b[0m\n",
        "\n",
        "\x1b]",
        "-----BEGIN KEY-----\n",
    ):
        text = line * ((1 << 20) // len(line))
        begin = time.process_time()
        found.hide(text, begins=False, ends=False)
        assert time.process_time() - begin < 5.0, line


# A reader of logs.


class Logs:
    """A backend whose only job has printed ``log``; what it is asked for is noted."""

    def __init__(self, log: str, *, complete: bool = True) -> None:
        self._log = log.encode()
        self._complete = complete

    def logs(self, handle: Handle, *, node: int, tail: int | None = None, **rest: Any) -> LogChunk:
        data = self._log if tail is None else self._log[-tail:]
        return LogChunk(data.decode(errors="replace"), None, self._complete)


def reader(log: str, values: Hiding, *, complete: bool = True) -> LogReader:
    return LogReader(cast(Backend, Logs(log, complete=complete)), Handle("1"), TOKEN, 1, values)


@pytest.mark.parametrize("value", [VALUE, KEY, "é" * 300, "z" * 5000])
@pytest.mark.parametrize("filler", ["-", "ü", "\x1b[31m.\x1b[0m"])
def test_an_excerpt_s_edge_shows_no_part_of_a_value(value: str, filler: str) -> None:
    size, form = 500, normal(value)
    for shift in (0, 1, 2, 3, 5, 7, 100, 499):
        # The edge of the excerpt lies in the value, or so does that of what is read for it.
        for back in (size, size + 1024, size + 1024 + hiding(value).room):
            log = f"start {form}{filler * ((back - shift) // len(filler.encode()))}"
            tail = reader(log, hiding(value)).tail(0, size)
            for part in (form[-6:], form[:6], *filter(None, form.split("\n"))):
                assert part not in tail


def test_a_log_that_is_full_of_values_shows_none_at_its_edge() -> None:
    """What is left of them is short: nothing of what was read in front is cut off again."""
    for shift in range(20):
        tail = reader(f"{VALUE} " * 1000 + "-" * shift, hiding(VALUE)).tail(0, 3000)
        assert set(tail.replace(MASK, "").split()) <= {"-" * shift}


def test_a_short_log_is_shown_from_its_beginning() -> None:
    assert reader("42 is the answer\n", hiding(VALUE)).tail(0, 500) == "42 is the answer\n"


def test_the_log_of_a_job_that_is_printing_shows_no_beginning_of_a_value() -> None:
    logs = reader("it is sword", hiding(VALUE), complete=False)
    assert (logs.whole(0).text, logs.tail(0, 100)) == (f"it is {MASK}", f"it is {MASK}")


def test_the_note_of_a_sentinel_has_no_value() -> None:
    report = SentinelReport(SentinelWord.START_FAILED, 0, 127, note=f"{VALUE}: not found")
    logs = reader(f"{sentinel.report_line(TOKEN, report)}\n", hiding(VALUE))
    (node,) = logs.with_reports(Observation(Phase.ENDED)).nodes
    assert node.report is not None
    assert node.report.note == f"{MASK}: not found"


def test_without_the_values_a_log_counts_as_unread() -> None:
    logs = reader("fine\n", Hiding(unknown="secrets: no such file"))
    assert logs.whole(0) == LogChunk("", gap="secrets: no such file")
    assert logs.tail(0, 100) == ""
    assert logs.missing


# The file.


def spec(*names: str) -> JobSpec:
    return JobSpec("true", secrets=names)


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PASSWORD", VALUE)
    monkeypatch.setenv("KEY", KEY)
    monkeypatch.setenv("PIN", "123")


def test_the_values_are_kept_for_this_user_only(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        Secrets(tmp_path).learn([spec("PASSWORD"), spec("KEY", "ABSENT")])
    finally:
        os.umask(before)
    path = tmp_path / SECRETS_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert json.loads(path.read_text()) == sorted([VALUE, normal(KEY)])
    assert [each.name for each in tmp_path.iterdir()] == [SECRETS_FILE]


def test_no_secrets_make_no_file(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    secrets.learn([spec()])
    assert list(tmp_path.iterdir()) == []
    assert not secrets.of(spec())


def test_another_process_hides_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Secrets(tmp_path).learn([spec("PASSWORD")])
    monkeypatch.delenv("PASSWORD")
    for job in (spec("PASSWORD"), spec()):
        assert Secrets(tmp_path).of(job).hide(f"it is {VALUE}") == f"it is {MASK}"


def test_values_are_added_and_none_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Secrets(tmp_path).learn([spec("PASSWORD")])
    monkeypatch.setenv("PASSWORD", "another-one")
    later = Secrets(tmp_path)
    later.learn([spec("PASSWORD")])
    for secrets in (later, Secrets(tmp_path)):
        assert secrets.all.hide(f"{VALUE} another-one") == f"{MASK} {MASK}"


def test_what_is_known_is_not_written_again(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    secrets.learn([spec("PASSWORD")])
    before = (tmp_path / SECRETS_FILE).stat()
    secrets.learn([spec("PASSWORD")] * 1000)
    assert (tmp_path / SECRETS_FILE).stat() == before


def test_a_reader_meanwhile_finds_whole_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secrets = Secrets(tmp_path)
    secrets.learn([spec("PASSWORD")])
    counts: list[int] = []

    def read(*_: object) -> None:
        counts.append(len(json.loads((tmp_path / SECRETS_FILE).read_text())))

    for number in range(5):
        monkeypatch.setenv("PASSWORD", f"password-{number}")
        # Called before and after each call of a function, such as those that write, flush and rename.
        sys.setprofile(read)
        try:
            secrets.learn([spec("PASSWORD")])
        finally:
            sys.setprofile(None)
    assert len(counts) > 100
    assert all(1 <= former <= later <= 6 for former, later in pairwise(counts))
    assert counts[-1] == 6


def _link(path: Path) -> None:
    path.symlink_to("/etc/passwd")


def _fifo(path: Path) -> None:
    os.mkfifo(path)


def _folder(path: Path) -> None:
    path.mkdir()


def _half(path: Path) -> None:
    path.write_text(f'["{VALUE}')


def _numbers(path: Path) -> None:
    path.write_text("[1, 2]")


@pytest.mark.parametrize("put", [_link, _fifo, _folder, _half, _numbers])
def test_a_file_that_cannot_be_read_shows_nothing(tmp_path: Path, put: Any) -> None:
    put(tmp_path / SECRETS_FILE)
    secrets = Secrets(tmp_path)
    assert str(tmp_path / SECRETS_FILE) in secrets.all.unknown
    assert VALUE not in secrets.all.unknown
    assert secrets.of(spec()).hide("anything") == MASK
    with pytest.raises(LedgerError, match=SECRETS_FILE):
        secrets.learn([spec("PASSWORD")])


def test_a_link_is_not_written_through(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    (tmp_path / SECRETS_FILE).symlink_to(tmp_path / "elsewhere")
    secrets.learn([spec("PASSWORD")])
    assert not (tmp_path / "elsewhere").exists()
    assert not (tmp_path / SECRETS_FILE).is_symlink()


def test_a_folder_that_is_gone_is_said(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match="No such file"):
        Secrets(tmp_path / "gone").learn([spec("PASSWORD")])


def test_without_its_file_a_job_with_secrets_is_not_shown(tmp_path: Path) -> None:
    secrets = Secrets(tmp_path)
    assert "no such file" in secrets.of(spec("PASSWORD")).unknown
    assert secrets.of(spec()).hide("fine") == "fine"


# The engine.


def test_a_short_value_is_refused_before_anything_is_submitted(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}) as rig:
        result = rig.finish(entry("a", secrets=("PASSWORD", "PIN")))["a"]
        assert (result.outcome.reason, result.judgement.verdict) == (Reason.REJECTED, Verdict.ERROR)
        assert "secret PIN has fewer than 4 characters" in result.outcome.detail
        assert "123" not in result.outcome.detail
        assert not rig.backend.calls.submits


def test_a_cluster_that_knows_the_values_needs_none_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PASSWORD")
    with engine_rig(tmp_path / "l.sqlite", {}, capabilities=Capabilities(knows_secrets=True)) as rig:
        assert rig.finish(entry("a", secrets=("PASSWORD",)))["a"].judgement.verdict is Verdict.PASSED


def test_the_values_are_there_before_the_first_submission(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}) as rig:
        known: list[str] = []
        submit = rig.backend.submit

        def spy(job: JobSpec, token: str) -> Handle:
            known.extend(json.loads((tmp_path / SECRETS_FILE).read_text()))
            return submit(job, token)

        monkeypatch.setattr(rig.backend, "submit", spy)
        rig.finish(entry("a", secrets=("PASSWORD",)))
        assert known == [VALUE]


def test_what_a_cluster_s_api_says_has_no_value(tmp_path: Path) -> None:
    with engine_rig(tmp_path / "l.sqlite", {}) as rig:
        rig.backend.outage(0, 300, error=BackendError(f"denied with {VALUE}"))
        rig.finish(entry("a", secrets=("PASSWORD",)))
    assert not holding(tmp_path, VALUE)


def holding(folder: Path, value: str) -> list[str]:
    """The files with a value in them."""
    return [
        each.name
        for each in folder.iterdir()
        if each.name != SECRETS_FILE and value.encode() in each.read_bytes()
    ]
