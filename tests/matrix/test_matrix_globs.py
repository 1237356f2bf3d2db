"""Globs match as pytest's own do, both for a path and on the disk."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_clusterjobs.matrix.globs import below
from pytest_clusterjobs.matrix.globs import Glob
from pytest_clusterjobs.matrix.globs import leads_back

FILES = ("a.yaml", "b.yml", "m/a.yaml", "m/ab.yaml", "m/sub/c.yaml", "m/sub/deep/d.yaml", "m/.hidden.yaml")


@pytest.mark.parametrize(
    ("text", "base", "found"),
    [
        ("*.yaml", "", ["a.yaml"]),
        ("./m/*.yaml", "m", ["m/.hidden.yaml", "m/a.yaml", "m/ab.yaml"]),
        ("m/../m/a?.yaml", "m", ["m/ab.yaml"]),
        ("m/[ab].yaml", "m", ["m/a.yaml"]),
        ("m/[!a].yaml", "m", []),
        ("m/a.yaml", "m", ["m/a.yaml"]),
        ("m/**/[cd].yaml", "m", ["m/sub/c.yaml", "m/sub/deep/d.yaml"]),
        ("m/**", "m", ["m/.hidden.yaml", "m/a.yaml", "m/ab.yaml", "m/sub/c.yaml", "m/sub/deep/d.yaml"]),
        ("**/deep/**/*.yaml", "", ["m/sub/deep/d.yaml"]),
        ("m/*/*.yaml", "m", ["m/sub/c.yaml"]),
        ("m/**/**/d.yaml", "m", ["m/sub/deep/d.yaml"]),
    ],
)
def test_matching_a_path_and_walking_the_disk_agree(
    tmp_path: Path, text: str, base: str, found: list[str]
) -> None:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    glob = Glob.of(text)
    assert glob.base == base
    assert sorted(glob.files(tmp_path, hidden=True)) == found
    inside = {name: below(tmp_path / name, tmp_path / base) for name in FILES}
    assert sorted(name for name, names in inside.items() if names and glob.matches(names)) == found


def test_names_with_a_leading_dot_need_a_pattern_with_that_dot(tmp_path: Path) -> None:
    for name in (".x.yaml", ".git/y.yaml"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list(Glob.of("**/*.yaml").files(tmp_path)) == []
    assert list(Glob.of("**/.*.yaml").files(tmp_path)) == [".x.yaml"]
    assert list(Glob.of(".git/*.yaml").files(tmp_path)) == [".git/y.yaml"]


def test_a_path_is_below_a_folder_also_through_links(tmp_path: Path) -> None:
    (tmp_path / "real" / "sub").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    for way in ("real", "link"):
        for other in ("real", "link"):
            assert below(tmp_path / way / "sub" / "x", tmp_path / other) == ("sub", "x")
    assert below(tmp_path / "x", tmp_path / "real") is None
    assert below(tmp_path / "x", tmp_path / "gone") is None


def test_a_link_to_a_parent_leads_back(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for name, target in {"a/self": ".", "a/up": "..", "a/b": "../b", "a/gone": "gone"}.items():
        (tmp_path / name).symlink_to(target)
    assert [name for name in ("self", "up", "b", "gone") if leads_back(tmp_path / "a" / name)] == [
        "self",
        "up",
    ]
