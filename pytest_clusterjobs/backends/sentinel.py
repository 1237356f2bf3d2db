"""The sentinel: the sh script that wraps a job's command on each node, and the line that it prints last.

The script is ``sentinel.sh``; ``docs/sentinel.md`` says what it promises. Producer and reader of
the last line share one grammar and are tested against each other.
"""

from __future__ import annotations

import math
import re
import subprocess
from functools import cache
from pathlib import Path
from shutil import which
from string import ascii_letters

from ..jobs import JobSpec
from ..jobs import SentinelReport
from ..jobs import SentinelWord
from ..jobs.token import nonce
from .shell import bare

MAX_BYTES = 3072
"""What the delivered script may take: AWS Batch caps all overrides of a job at 8192 bytes."""

_NAME = re.compile(r"\bcj_[a-z]+\b")
_SHELLS = {"bash": "bash -eo pipefail", "sh": "sh -e"}
_ANSI = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]{0,256}(?:\x07|\x1b\\)|[@-Z\\-_])")
_LINE = re.compile(
    r"\[clusterjobs (?P<nonce>[0-9a-f]{12}) (?P<word>"
    + "|".join(SentinelWord)
    + r") exit_code=(?P<code>-|[0-9]{1,3}) node=(?P<node>[0-9]{1,6})"
    r" restarts=(?P<restarts>[0-9]{1,6}) heartbeats=(?P<beats>[0-9]{1,9})\]"
)


@cache
def script() -> str:
    """The script as it is delivered: without comments and empty lines, and with short names."""
    return _shortened(bare(_source()))


def _shortened(text: str) -> str:
    """Shell text with the script's variables under the names by which they are delivered."""
    return _NAME.sub(lambda match: _short_names().get(match[0], match[0]), text)


@cache
def _short_names() -> dict[str, str]:
    names = sorted(set(_NAME.findall(_source())))
    return {name: f"cj{letter}" for name, letter in zip(names, ascii_letters, strict=False)}


@cache
def _source() -> str:
    return Path(__file__).with_name("sentinel.sh").read_text(encoding="ascii")


def argv(
    spec: JobSpec,
    token: str,
    *,
    not_after: float | None = None,
    workdir: str = "",
    prelude: str = "",
    timed: bool = True,
    leader: str = "",
) -> list[str]:
    """The command line that runs ``spec`` on one node.

    ``not_after`` is in seconds since the epoch; ``workdir`` is where the job runs (empty: where the
    sentinel is started). ``prelude`` is sh that runs first, for a cluster on which rank and
    restart count (``CLUSTERJOBS_NODE_RANK``, ``CLUSTERJOBS_RESTARTS``) are known on the node only; a trap that
    it sets on EXIT may look at the script's variables (``cj_word``, ``cj_beats``), by the names of ``sentinel.sh``.
    ``leader`` is a command that makes a session, where the caller knows one (empty: the sentinel looks
    for itself). Without ``timed`` the caller enforces ``max_runtime``, by sending USR2 to the sentinel.
    """
    interval, silent = beat_clock(spec.heartbeat_timeout) if spec.heartbeat_timeout else ("", "")
    return [
        "sh",
        "-c",
        f"{_shortened(prelude)}\n{script()}" if prelude else script(),
        "sentinel",
        nonce(token),
        seconds(spec.max_runtime) if timed else "",
        seconds(spec.grace_period),
        "" if not_after is None else str(math.ceil(not_after)),
        interval,
        silent,
        _SHELLS[spec.shell],
        workdir,
        spec.setup or "",
        leader,
        spec.run,
        *spec.args,
    ]


@cache
def leader_here() -> str:
    """What ``leader`` is best on this machine: found once, so that no job has to. Empty if there is none."""
    setsid, env = which("setsid"), which("env")
    if setsid is None or " " in setsid:
        return ""
    via = [env or "env", "--default-signal=INT,QUIT"]
    try:
        done = subprocess.run([*via, "true"], check=False, capture_output=True)
    except OSError:
        return setsid
    return " ".join([setsid, *via]) if done.returncode == 0 else setsid


def seconds(value: float) -> str:
    """A duration as ``sleep`` takes it: whole where it can be, never an exponent."""
    return str(int(value)) if value == int(value) else f"{value:.3f}"


def beat_clock(timeout: float) -> tuple[str, str]:
    """How often the heartbeat file is looked at (seconds), and after how many looks without a beat it is over.

    An eighth of the timeout, within 0.1 and 0.5 s: so late is a timeout noticed at most.
    """
    interval = min(0.5, max(0.1, timeout / 8))
    return seconds(interval), str(max(1, math.ceil(timeout / interval - 1e-6)))


def line(token: str, report: SentinelReport) -> str:
    """The last line that a sentinel would print, for a backend that has to speak in its place."""
    code = "-" if report.exit_code is None else str(report.exit_code)
    return (
        f"[clusterjobs {nonce(token)} {report.word} exit_code={code} node={report.node}"
        f" restarts={report.restarts} heartbeats={report.heartbeats}]"
    )


def parse(text: str, nonce: str) -> SentinelReport | None:
    """Read the last line of the sentinel with this ``nonce`` out of a log's tail, if it is there.

    Colours, carriage returns, rank prefixes and text before or after it on the line do no harm.
    """
    reports = parse_all(text, nonce)
    return reports[-1] if reports else None


def parse_all(text: str, nonce: str) -> list[SentinelReport]:
    """Every line of a sentinel with this ``nonce``, in order: where a log has those of several ranks or starts."""
    if nonce not in text:
        return []
    lines = _LINE.finditer(_ANSI.sub("", text).replace("\r", ""))
    return [_report(match) for match in lines if match["nonce"] == nonce]


def _report(found: re.Match[str]) -> SentinelReport:
    return SentinelReport(
        word=SentinelWord(found["word"]),
        node=int(found["node"]),
        exit_code=None if found["code"] == "-" else int(found["code"]),
        restarts=int(found["restarts"]),
        heartbeats=int(found["beats"]),
    )
