"""The marks that a sentinel leaves in a job's log: that the command began, and how it ended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from ...model import SentinelReport
from ...model import SentinelWord
from ...model.text import strip_ansi
from ...model.token import nonce

_MARK = re.compile(
    r"\[clusterjobs (?P<nonce>[0-9a-f]{12}) (?P<word>[a-z_]{1,32})(?P<fields>(?: [a-z_]{1,32}=[^\s\]]{0,32}){1,16})\]"
    r"(?P<note>[^\n]{0,300})"
)
_WORDS = {str(word): word for word in SentinelWord}
_BEGUN = "begun"
_CODE = re.compile(r"-|[0-9]{1,3}", re.ASCII)
_NODE = re.compile(r"[0-9]{1,6}", re.ASCII)
_COUNT = re.compile(r"[0-9]{1,12}", re.ASCII)

REPORT_TAIL_BYTES = 16_384
"""Bytes at the end of a log that are searched for the report of a sentinel, before the whole log is."""


@dataclass(frozen=True, slots=True)
class Marks:
    """The content of the marks of one rank in a piece of its log."""

    report: SentinelReport | None = None
    """How its last start ended; ``None`` if no such mark follows the last mark of a begun command."""
    begun: bool = False
    """Whether a mark reports that the command of the last start began."""


def report_line(token: str, report: SentinelReport) -> str:
    """The line that a sentinel prints last, for a backend that reports in its place."""
    code = "-" if report.exit_code is None else str(report.exit_code)
    begun = "-" if report.begun is None else int(report.begun)
    ticks = "" if report.seconds is None else round(report.seconds * 100)
    return (
        f"[clusterjobs {nonce(token)} {report.word} exit_code={code} node={report.node}"
        f" restarts={report.restarts} heartbeats={report.heartbeats} begun={begun} cs={ticks}"
        f"{' log=cut' if report.log_cut else ''}]{f' {report.note}' if report.note else ''}"
    )


def read(text: str, nonce: str, node: int) -> Marks:
    """The marks of rank ``node`` with this ``nonce`` in a piece of a log; those of other ranks are ignored.

    Colours, carriage returns, rank prefixes and text before or after a mark on its line are ignored.
    """
    found = Marks()
    for match in _marks(text, nonce):
        fields = _fields(match)
        if fields.get("node") != str(node):
            continue
        if match["word"] == _BEGUN:
            found = Marks(begun=True)
        elif (report := _report(match, fields)) is not None:
            found = Marks(report, found.begun)
    return found


def last_report(text: str, nonce: str, node: int | None = None) -> SentinelReport | None:
    """The last report with this ``nonce`` in a text, of rank ``node`` if given; ``None`` if there is none."""
    if node is not None:
        return read(text, nonce, node).report
    reports = all_reports(text, nonce)
    return reports[-1] if reports else None


def all_reports(text: str, nonce: str) -> list[SentinelReport]:
    """All reports with this ``nonce``, in order; a log may have those of several ranks or starts."""
    reports = (_report(match, _fields(match)) for match in _marks(text, nonce))
    return [report for report in reports if report is not None]


def without_marks(text: str, nonce: str) -> str:
    """The job's own output: ``text`` without the marks, and without the line break before each."""
    return _removal(nonce).sub("", text) if nonce in text else text


@lru_cache(maxsize=64)
def _removal(nonce: str) -> re.Pattern[str]:
    prefix = r"(?:\([^()\n]{1,120}?[ ,]pid=\d+[^()\n]{0,200}\) ?)?"
    mark = rf"\[clusterjobs {nonce} (?:start_failed [^\]\n]*\][^\n]*|[^\]\n]*\])"
    # A mark on a line of its own is removed with its line and the empty line before it. A piece of a log may
    # begin within a mark.
    whole = rf"(?:(?:\A|(?<=\n))\r?\n)?(?:\A|(?<=\n)){prefix}{mark}\r?(?:\n|\Z)"
    return re.compile(rf"{whole}|{mark}|\A[^\n\[\]]{{0,20}}{nonce} [^\n\]]*\]\r?\n?")


def _marks(text: str, nonce: str) -> Iterator[re.Match[str]]:
    if nonce not in text:
        return iter(())
    found = _MARK.finditer(strip_ansi(text).replace("\r", ""))
    return (match for match in found if match["nonce"] == nonce)


def _fields(match: re.Match[str]) -> dict[str, str]:
    return dict(item.split("=", 1) for item in match["fields"].split())


def _report(match: re.Match[str], fields: dict[str, str]) -> SentinelReport | None:
    """The report in a mark; ``None`` if it has none, or is incomplete."""
    word = _WORDS.get(match["word"])
    code, node = fields.get("exit_code", ""), fields.get("node", "")
    if word is None or not _NODE.fullmatch(node) or not _CODE.fullmatch(code):
        return None
    ticks = fields.get("cs", "")
    return SentinelReport(
        word=word,
        node=int(node),
        exit_code=None if code == "-" else int(code),
        restarts=_number(fields.get("restarts", "")),
        heartbeats=_number(fields.get("heartbeats", "")),
        begun={"1": True, "0": False}.get(fields.get("begun", "")),
        seconds=int(ticks) / 100 if _COUNT.fullmatch(ticks) else None,
        log_cut=fields.get("log") == "cut",
        note=match["note"].strip() if word is SentinelWord.START_FAILED else "",
    )


def _number(text: str) -> int:
    return int(text) if _COUNT.fullmatch(text) else 0
