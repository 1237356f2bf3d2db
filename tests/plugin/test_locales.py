"""Bytes and locales: jobs run where Python would encode nothing but ASCII, and in folders whose names are
no UTF-8."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
MATRIX = """
recipes: {umlaut: 'printf "%s|%s\\n" "héllo $MORE $HOMELY" "$1"; exit ${CODE:-0}'}
conditions:
  ok: {env: {MORE: "日本"}, args: [süß]}
  bad: {env: {CODE: 3}}
"""


def run(folder: Path, *arguments: str, locale: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", "--junitxml=report.xml", "-p", "no:cacheprovider", *arguments],
        cwd=folder,
        env={**os.environ, "HOMELY": "daheim: ö", **locale},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="backslashreplace",
        timeout=240,
        check=False,
    )


def project(folder: Path, below: str = "matrices") -> Path:
    (folder / below).mkdir(parents=True)
    (folder / below / "m.yaml").write_text(MATRIX, "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\n")
    return folder


def logs(folder: Path) -> list[str]:
    found = folder.glob(".clusterjobs/runs/*/local/logs/*.log")
    return [line for path in found for line in path.read_text("utf-8").splitlines() if "llo" in line]


def cells(folder: Path) -> dict[str, Any]:
    found = json.loads((folder / "report.json").read_text("utf-8"))["cells"]
    return {cell["key"]: cell["verdict"] for cell in found}


@pytest.mark.parametrize("locale", [ASCII, {"LC_ALL": "C.UTF-8"}], ids=["ascii", "utf-8"])
@pytest.mark.parametrize(
    "name", [b"plain", "hé".encode(), b"latin \xe9 1", b"\xff%41"], ids=["plain", "utf-8", "latin-1", "odd"]
)
def test_jobs_run_whatever_the_locale_and_the_folder(
    tmp_path: Path, name: bytes, locale: dict[str, str]
) -> None:
    folder = project(Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)))
    result = run(folder, locale=locale)
    assert "1 failed, 1 passed" in result.stdout
    assert sorted(logs(folder)) == ["héllo  daheim: ö|", "héllo 日本 daheim: ö|süß"]
    assert cells(folder) == {
        "matrices/m.yaml::umlaut-1n-ok": "passed",
        "matrices/m.yaml::umlaut-1n-bad": "failed",
    }
    ET.parse(folder / "report.xml")
    checked = run(folder, "--cluster-check", locale=locale)
    assert "1 failed, 1 passed" in checked.stdout


def test_a_matrix_below_a_folder_whose_name_is_no_utf8(tmp_path: Path) -> None:
    folder = project(tmp_path / "p", "matrices/" + os.fsdecode(b"\xff"))
    result = run(folder, locale={})
    assert "1 failed, 1 passed" in result.stdout
    assert set(cells(folder)) == {rf"matrices/\xff/m.yaml::umlaut-1n-{name}" for name in ("ok", "bad")}
    ET.parse(folder / "report.xml")


def test_jobs_from_python_in_an_ascii_locale(tmp_path: Path) -> None:
    (tmp_path / "test_a.py").write_text(
        "def test_a(clusterjobs):\n    job = clusterjobs.submit('echo hé', max_runtime=60.0)\n"
        "    assert job.wait(30).exit_code == 0\n    assert 'h\\xe9' in job.logs()\n",
        "utf-8",
    )
    assert "1 passed" in run(tmp_path, locale=ASCII).stdout
