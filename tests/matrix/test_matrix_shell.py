from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_clusterjobs.matrix import Matrix
from pytest_clusterjobs.matrix.shell import has_pipe
from pytest_clusterjobs.matrix.shell import is_simple_command
from pytest_clusterjobs.matrix.shell import with_args

Load = Callable[..., Matrix]
Mistakes = Callable[..., list[str]]

SIMPLE = [
    "printf '%s|'",
    'printf "%s|"',
    "A=1 B='x y' printf '%s|'",
    "printf \\\n  '%s|'",
    "printf %s\\|",
    "exec printf '%s|'",
    "env X=$HOME printf '%s|'",
    'env "X=$HOME ${HOME}" printf "%s|"',
    "env X=${NOPE:-a} printf '%s|'",
    "env X=a#b printf '%s|'",
    "  printf '%s|'\n",
]


@pytest.mark.parametrize("run", SIMPLE)
def test_a_simple_command_gets_its_arguments_appended(run: str) -> None:
    script = with_args(run)
    assert script is not None
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script, "job", "a b", "$c", ""],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stdout) == (0, "a b|$c||"), ran.stderr


@pytest.mark.parametrize(
    "run",
    [
        "a | b",
        "a && b",
        "a; b",
        "a &",
        "a\nb",
        "a > out",
        "a < in",
        "a 2>&1",
        "a # why",
        "# why\na",
        "(a)",
        "{ a; }",
        "if a; then b; fi",
        "for x in 1 2",
        "while a",
        "! a",
        "[[ -e a ]]",
        "case x in x) a",
        "f() a",
        "a $(b)",
        "a `b`",
        'a "$(b)"',
        'a "`b`"',
        "a $((1+1))",
        "a <(b)",
        "a 'unclosed",
        'a "unclosed',
        "a \\",
        "a ${b",
        "A=1",
        "A=1 B=2",
        "exit 3",
        "set -x",
        "a $'x'",
        "",
    ],
)
def test_other_scripts_than_a_simple_command_get_nothing_appended(run: str) -> None:
    assert not is_simple_command(run)
    assert with_args(run) is None


@pytest.mark.parametrize(
    "run",
    [
        'a | b "$@"',
        "a; b $1",
        "a && b ${1}",
        'for x in "$@"; do a; done',
        "a\nshift\nb",
        "# it's\nfor x in \"$@\"; do a; done\n# don't",
        "while getopts x: name; do a; done",
        "echo $# $*",
        "a ${@:2}",
    ],
)
def test_a_script_that_mentions_its_arguments_stays_as_it_is(run: str) -> None:
    assert with_args(run) == run


@pytest.mark.parametrize(
    "run",
    [
        "awk '{print $1}' f | sort",
        "a | b # $1",
        "a; b \\$1",
        "for x in a; do python x.py shift; done",
        "a; perl -e '@_ = $#x'",
    ],
)
def test_what_only_looks_like_a_mention_leaves_the_arguments_unused(run: str) -> None:
    assert with_args(run) is None


def test_the_parameters_of_another_program_are_not_the_scripts() -> None:
    assert with_args("awk '{print $1}'") == "awk '{print $1}' \"$@\""


@pytest.mark.parametrize("run", ["a | b", "a\nb |\nc", "a | b # c", "a |& b"])
def test_a_pipe_is_found(run: str) -> None:
    assert has_pipe(run)


@pytest.mark.parametrize(
    "run", ["a || b", "a '|' b", 'a "|" b', "a \\| b", "a # | b", "a >| b", "case x in a|b) c;; esac"]
)
def test_other_bars_are_not_pipes(run: str) -> None:
    assert not has_pipe(run)


@pytest.mark.parametrize("shell", ["bash", "sh"])
@pytest.mark.parametrize(
    ("script", "line"),
    [
        ("echo 'a", 1),
        ('true\necho "a', 2),
        ("echo a\necho $(b", None),
        ("if true; then echo", None),
        ("true\ntrue\nfor x in; do }", None),
        ("echo a; ; echo b", 1),
        ("echo é 'a", 1),
    ],
)
def test_a_script_that_its_shell_cannot_parse_is_a_mistake(
    mistakes: Mistakes, tmp_path: Path, shell: str, script: str, line: int | None
) -> None:
    text = json.dumps(script, ensure_ascii=False)
    found = mistakes(
        f"recipes: {{ok: 'a | b', a: x}}\nconditions:\n  c:\n    shell: {shell}\n    run: {text}\n    setup: {text}"
    )
    assert [each.partition(f": {shell} cannot parse it: line ")[0] for each in found] == [
        "5:10: run",
        "6:12: setup",
    ]
    assert all(each.endswith("(cells ok-1n-c and 1 more)") for each in found)
    if line is not None and shell == "bash":
        assert f"line {line}: " in found[0]


def test_a_valid_script_is_parsed_without_running_it(load: Load, tmp_path: Path) -> None:
    trace = tmp_path / "ran"
    scripts = [
        "cat <<EOF\nno end",
        "shopt -s extglob\nls !(a)",
        f"set +n; touch {trace}",
        f"touch {trace}\nset +n\ntouch {trace}",
        f"echo $(touch {trace})",
        "case $x in a) ;; esac",
    ]
    recipes = {f"r{at}": {"run": script, "setup": script} for at, script in enumerate(scripts)}
    assert len(load(json.dumps({"recipes": recipes})).cells) == len(scripts)
    assert not trace.exists()


def test_a_missing_shell_or_a_broken_startup_file_gives_no_error(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "rc").write_text("exit 1")
    monkeypatch.setenv("BASH_ENV", str(tmp_path / "rc"))
    assert load("recipes: {a: 'true; echo strange start'}").cells
    monkeypatch.setenv("PATH", str(tmp_path))
    assert load('recipes: {a: "echo \'nowhere"}').cells
