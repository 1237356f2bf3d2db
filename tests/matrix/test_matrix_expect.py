"""``expect`` and ``classify`` of a matrix: valid values, and mistakes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from pytest_clusterjobs.judge import judge
from pytest_clusterjobs.matrix import Matrix
from pytest_clusterjobs.model import Cell
from pytest_clusterjobs.model import Classification
from pytest_clusterjobs.model import ClassifyRule
from pytest_clusterjobs.model import Expectation
from pytest_clusterjobs.model import LogExpectation
from pytest_clusterjobs.model import MetricExpectation
from pytest_clusterjobs.model import Outcome
from pytest_clusterjobs.model import Range
from pytest_clusterjobs.model import ReasonClass
from pytest_clusterjobs.model import Source
from pytest_clusterjobs.model import Verdict

Load = Callable[..., Matrix]
Mistakes = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("said", "reasons", "codes"),
    [
        ("", ("job_completed",), (0,)),
        ("restarts: 0", ("job_completed",), (0,)),
        ("exit_code: 0", ("job_completed",), (0,)),
        ("exit_code: 3", ("job_failed",), (3,)),
        ("exit_code: [3, 4]", ("job_failed",), (3, 4)),
        ("exit_code: [0, 3]", ("job_completed", "job_failed"), (0, 3)),
        ("exit_code: nonzero", ("job_failed",), "nonzero"),
        ("exit_code: [3, nonzero]", ("job_failed",), "nonzero"),
        ("exit_code: [0, nonzero]", ("job_completed", "job_failed"), None),
        (
            "reason: [job_completed, job_failed], exit_code: [nonzero, 0]",
            ("job_completed", "job_failed"),
            None,
        ),
        ("exit_code: 137", ("job_failed", "killed_by_signal"), (137,)),
        ("exit_code: 200", ("job_failed",), (200,)),
        ("reason: job_completed", ("job_completed",), (0,)),
        ("reason: job_failed", ("job_failed",), None),
        ("reason: [job_completed, preempted]", ("job_completed", "preempted"), None),
        ("reason: heartbeat_timeout", ("heartbeat_timeout",), None),
        ("reason: any", ("any",), None),
        ("reason: any, exit_code: 3", ("any",), (3,)),
        ("reason: killed_by_signal, exit_code: 137", ("killed_by_signal",), (137,)),
        (
            "reason: [job_failed, killed_by_signal], exit_code: nonzero",
            ("job_failed", "killed_by_signal"),
            "nonzero",
        ),
    ],
)
def test_reason_and_exit_code_imply_each_other(load: Load, said: str, reasons: Any, codes: Any) -> None:
    (cell,) = load(f"recipes: {{r: {{run: x, heartbeat_timeout: 1m, expect: {{{said}}}}}}}").cells
    assert (cell.expect.reasons, cell.expect.exit_codes) == (reasons, codes)


def test_all_of_expect_is_typed(load: Load) -> None:
    (cell,) = load(
        """\
        recipes:
          r:
            run: x
            max_restarts: 1
            expect:
              restarts: 1
              run_time: "<10m"
              heartbeats: ">=1"
              log:
                contains: done
                excludes: [Traceback, "CUDA error"]
                matches: '^loss=[0-9.]+$'
              metrics:
                SPS: {pattern: 'sps={number}', pick: median, node: 0, min: 1, max: 1e6, reference: 1500.5, tolerance: 5%}
                LOSS: {pattern: 'loss=(\\S+)', reference: 2, tolerance: -5%..+20%}
        """
    ).cells
    assert cell.expect == Expectation(
        restarts=Range(1, 1, text="1"),
        run_time=Range(high=600, high_open=True, text="<10m"),
        heartbeats=Range(low=1, text=">=1"),
        log=LogExpectation(("done",), ("Traceback", "CUDA error"), ("^loss=[0-9.]+$",)),
        metrics={
            "SPS": MetricExpectation("sps={number}", "median", 0, 1, 1e6, 1500.5, 0.05, 0.05),
            "LOSS": MetricExpectation(r"loss=(\S+)", reference=2, tolerance_below=0.05, tolerance_above=0.2),
        },
    )


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("reason: job_faild", "1:32: unknown reason 'job_faild', did you mean 'job_failed'?"),
        ("reason: [job_failed, hang]", "1:45: unknown reason 'hang': write heartbeat_timeout"),
        ("reason: []", "1:32: recipes.r.expect.reason: at least one entry is required"),
        ("reason: [any, job_failed]", "1:32: recipes.r.expect.reason: `any` cannot be combined with other reasons"),
        ("reason: Job failed", "1:32: recipes.r.expect.reason: 'Job failed' is not a valid reason: write job_failed"),
        ("exit_code: 256", "1:35: recipes.r.expect.exit_code: expected a whole number from 0 to 255, not 256"),
        ("exit_code: -9", "1:35: recipes.r.expect.exit_code: expected a whole number from 0 to 255, not -9"),
        ("exit_code: '3'", "1:35: recipes.r.expect.exit_code: an exit code is a whole number from 0 to 255 or nonzero, not '3' (text)"),
        ("exit_code: [3, x]", "1:39: recipes.r.expect.exit_code.1: an exit code is a whole number from 0 to 255 or nonzero, not 'x'"),
        ("reason: max_runtime_reached, exit_code: 124", "1:64: expect.exit_code: a job that ends as max_runtime_reached has no exit code of its own: remove exit_code"),
        ("run_time: 10m", "1:34: recipes.r.expect.run_time: '10m' means exactly that duration, which no run has: write '<10m' or '>=10m'"),
        ("run_time: ==10m", "1:34: recipes.r.expect.run_time: '==10m' means exactly that duration, which no run has: write '<10m' or '>=10m'"),
        ("run_time: 1m..60s", "1:34: recipes.r.expect.run_time: '1m..60s' means exactly that duration, which no run has: write bounds that differ"),
        ("restarts: '>=1'", "1:34: expect.restarts: >=1 can never be met: max_restarts is 0"),
        ("restarts: 2..3", "1:34: expect.restarts: 2..3 can never be met: max_restarts is 0"),
        ("reason: job_completed, exit_code: 3", "1:58: expect.exit_code: job_completed cannot have this exit code"),
        ("reason: job_failed, exit_code: 0", "1:55: expect.exit_code: job_failed cannot have this exit code"),
        ("reason: killed_by_signal, exit_code: 9", "1:61: expect.exit_code: killed_by_signal cannot have this exit code"),
        ("reason: heartbeat_timeout", "1:32: expect.reason: heartbeat_timeout can never be the reason: heartbeat_timeout is not set"),
        ("restarts: '>=x'", "1:34: recipes.r.expect.restarts: expected a whole number, not 'x'"),
        ("run_time: 10", "1:34: recipes.r.expect.run_time: a duration needs a unit: 10s, 10m or 10h"),
        ("log: done", "1:29: recipes.r.expect.log: expected a mapping, not one value"),
        ("log: {matches: '(a'}", "1:39: recipes.r.expect.log.matches: not a valid regular expression: missing ), unterminated subpattern"),
        ("log: {matches: '[[a]'}", "1:39: recipes.r.expect.log.matches: not a valid regular expression: Possible nested set"),
        ("log: {contain: a}", "1:30: unknown key 'contain', did you mean 'contains'?"),
        ("metrics: {M: {pattern: 'x=.*'}}", "1:47: recipes.r.expect.metrics.M.pattern: the pattern does not mark the number: write {number} in its place, as in 'loss={number}'"),
        ("metrics: {M: {min: 1}}", "1:37: expect.metrics.M: a metric needs a pattern: 'loss={number}'"),
        ("metrics: {M: {pattern: (x), reference: 1}}", "1:37: expect.metrics.M: reference needs a tolerance: 5%, -5% or -5%..+20%"),
        ("metrics: {M: {pattern: (x), tolerance: 5%}}", "1:37: expect.metrics.M: tolerance needs a reference other than 0"),
        ("metrics: {M: {pattern: (x), min: 2, max: 1}}", "1:37: expect.metrics.M: min is above max"),
        ("metrics: {M: {pattern: (x), pick: avg}}", "1:58: recipes.r.expect.metrics.M.pick: expected one of last, first, min, max, mean, median, not 'avg'"),
        ("metrics: {M: {pattern: (x), min: .nan}}", "1:57: recipes.r.expect.metrics.M.min: expected a number, not '.nan'"),
        ("metrics: {M-1: {pattern: (x)}}", "1:34: recipes.r.expect.metrics.M-1: 'M-1' is not a valid name of a metric: use letters, digits and _"),
    ],
)  # fmt: skip
def test_an_invalid_expectation_is_a_mistake(mistakes: Mistakes, said: str, message: str) -> None:
    found = mistakes(f"recipes: {{r: {{expect: {{{said}}}, run: x}}}}")
    assert len(found) == 1
    assert found[0].startswith(message)


BREAK = "each line is searched by itself, so a line break never matches: write a pattern for each line"
EMPTY = "the pattern matches an empty line, so it matches every log: to require that a text is absent, use `excludes`"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        *((f"log: {{matches: '{each}'}}", f"log.matches: {EMPTY}") for each in ("x*", "^$", "^", r"\s*", ".*", "(?!x)", "(?=x)?", "a|", r"[\s\S]*")),
        *((f"log: {{matches: '{each}'}}", f"log.matches: {BREAK}") for each in (r"a\nb", r"a\r\nb", r"a[\n]b", r"a\n+b", r"a(?:\n|\r)b", r"(a\n|b\n)c", r"a(?=\n)", r"(?<=\n)a", r"\x0a")),
        ('log: {matches: "a\\nb"}', f"log.matches: {BREAK}"),
        ("log: {matches: [a, 'x*']}", f"log.matches.1: {EMPTY}"),
        ("log: {matches: 'a={number}'}", "log.matches: {number} is only for patterns of metrics: write [0-9.]+ here"),
        *((f"log: {{{key}: {each}}}", f"log.{key}: a blank text is in every log: write the text to search for") for key in ("contains", "excludes") for each in ("''", "' '", '"\\n"')),
        ("log: {contains: [a, '']}", "log.contains.1: a blank text is in every log: write the text to search for"),
        ("metrics: {M: {pattern: '([0-9]*)'}}", "metrics.M.pattern: the pattern matches an empty line, so it matches every text"),
        ("metrics: {M: {pattern: '{number}?'}}", "metrics.M.pattern: the pattern matches an empty line, so it matches every text"),
        (r"metrics: {M: {pattern: 'a=\n{number}'}}", f"metrics.M.pattern: {BREAK}"),
        ("metrics: {M: {pattern: 'a={num}'}}", "metrics.M.pattern: the pattern does not mark the number: write {number} in its place, as in 'loss={number}'"),
        ("metrics: {M: {pattern: 'a[{number}]'}}", "metrics.M.pattern: the pattern does not mark the number: write {number} in its place, as in 'loss={number}'"),
        ("metrics: {M: {pattern: '{number} of {number}'}}", "metrics.M.pattern: {number} is in the pattern twice: a metric is one number"),
        ("metrics: {M: {pattern: '(?x)a={number}'}}", "metrics.M.pattern: (?x) is not supported: write the pattern without blanks and comments"),
        (r"metrics: {M: {pattern: '(a|b)={number} \1'}}", "metrics.M.pattern: beside {number} groups must be named: (?P<x>...) and (?P=x)"),
        *(
            (f"metrics: {{M: {{pattern: '{each}'}}}}", "metrics.M.pattern: the number is in another group or beside a `|`: write it outside, as in '(?:train|val) loss={number}'")
            for each in ("a=(?:([0-9]+))", "a=(?:b([0-9]+))?", "a=([0-9]+)|b=([0-9]+)", "a=(?:{number}|x)", "(?=a=([0-9]+))")
        ),
    ],
)  # fmt: skip
def test_a_pattern_that_matches_never_or_always_is_a_mistake(
    mistakes: Mistakes, said: str, message: str
) -> None:
    (found,) = mistakes(f"recipes: {{r: {{expect: {{{said}}}, run: x}}}}")
    assert found.partition(": recipes.r.expect.")[2] == message


@pytest.mark.parametrize(
    "said",
    [
        *(f"log: {{matches: '{each}'}}" for each in (r"a[^\n]*b", r"a(?:\n|$)", r"a\n?b", r"a\n{0,2}b", r"a(?!\n)", r"\Aa\Z", "(?s)a.b", "(?m)^a$", r"a\\nb", "(?x) a  b", "[]a]b")),
        *(f"metrics: {{M: {{pattern: '{each}'}}}}" for each in ("{number}", "a={number}", "a=([0-9.]+)", "(train|val)={number}", "(?P<v>[0-9]+) it/s", r"\{{number}\}", "a=(nan|[0-9]+)", "(?i)A={number}")),
        'log: {contains: "two\\nlines", excludes: " x"}',
    ],
)  # fmt: skip
def test_a_pattern_that_may_match_is_valid(load: Load, said: str) -> None:
    assert load(f"recipes: {{r: {{expect: {{{said}}}, run: x}}}}").warnings == ()


TIMEOUT = "heartbeat_timeout: 1m, expect: {reason: heartbeat_timeout%s}"
EITHER = "heartbeat_timeout: 1m, expect: {reason: [heartbeat_timeout, job_failed]%s}"


@pytest.mark.parametrize(
    "text",
    [
        f"recipes: {{r: {{run: x, {TIMEOUT}}}}}",
        f"recipes: {{r: {{run: x, {EITHER}}}}}",
        f"recipes: {{r: x}}\ndefaults: {{{TIMEOUT}}}",
        f"recipes: {{r: x}}\noverrides: [{{where: {{recipe: r, condition: normal_completion}}, {TIMEOUT}}}]",
        f"recipes: {{r: x}}\nexclude: [{{nodes: 1}}]\ninclude: [{{recipe: r, nodes: 2, condition: normal_completion, {TIMEOUT}}}]",
    ],
    ids=["recipe", "a list", "defaults", "override", "include"],
)
def test_a_heartbeat_is_implied_wherever_the_timeout_is_expected(load: Load, text: str) -> None:
    (implied,) = load(text % "").cells
    (taken_back,) = load(text % ", heartbeats: '>=0'").cells

    def verdict(cell: Cell, beats: int | None) -> Verdict:
        end = Outcome("heartbeat_timeout", ReasonClass.PRODUCT, Source.SENTINEL_LIMIT, heartbeats=beats)
        return judge(cell.expect, end, log=None, nodes=1).verdict

    assert [verdict(implied, beats) for beats in (0, None, 1)] == [
        Verdict.FAILED,
        Verdict.FAILED,
        Verdict.PASSED,
    ]
    assert [verdict(taken_back, beats) for beats in (0, 1)] == [Verdict.PASSED, Verdict.PASSED]


def test_a_heartbeat_timeout_not_below_max_runtime_is_reported(load: Load, mistakes: Mistakes) -> None:
    text = "recipes: {r: {run: x, heartbeat_timeout: 1h, max_runtime: 1m%s}}"
    assert load(text % "").warnings == (
        "matrices/m.yaml:1:42: heartbeat_timeout is not below max_runtime, so it never ends a job (cell r-1n-normal_completion)",
    )
    assert load(text % ", expect: {reason: max_runtime_reached}").warnings == ()
    assert mistakes(text % ", expect: {reason: heartbeat_timeout}") == [
        "1:80: expect.reason: heartbeat_timeout can never be the reason: max_runtime ends the job first (cell r-1n-normal_completion)"
    ]


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        ("{log: 'end: (?P<reason>.*)'}", True),
        ("{exit_code: 7, reason: heartbeat_timeout}", True),
        ("{status: STALLED, reason: heartbeat_timeout}", True),
        ("{log: 'code: (?P<exit_code>.*)'}", False),
        ("{exit_code: 7, reason: job_failed}", False),
    ],
)
def test_a_heartbeat_timeout_of_a_wrapper_is_valid(
    load: Load, mistakes: Mistakes, rule: str, allowed: bool
) -> None:
    text = f"recipes: {{r: x}}\nclassify: [{rule}]\ndefaults: {{expect: {{reason: heartbeat_timeout}}}}"
    if allowed:
        assert load(text).warnings == ()
    else:
        (mistake,) = mistakes(text)
        assert "heartbeat_timeout can never be the reason: heartbeat_timeout is not set" in mistake


def test_classify_translate_and_reasons_are_keys_of_the_top_level_and_of_fragments(load: Load) -> None:
    text = """\
        reasons: {nccl_test_failed: infra, warmup_failed: product}
        classify:
        - {log: 'Termination reason: (?P<reason>\\w+)', required: true}
        - {exit_code: 42, reason: nccl_test_failed}
        - {status: 'Host EC2 .* terminated', reason: node_failed}
        translate: {unknown: job_failed, cluster stop: cancelled}
        recipes:
          a: x
          b: {run: y, classify: [{exit_code: 7, reason: hung}], reasons: {hung: product}, translate: {unknown: null}, expect: {reason: hung}}
          c: {run: z, classify: null, expect: {reason: warmup_failed, exit_code: 9}}
        """
    a, b, c = load(text).cells
    classes = {"nccl_test_failed": ReasonClass.INFRA, "warmup_failed": ReasonClass.PRODUCT}
    translate = {"unknown": "job_failed", "cluster stop": "cancelled"}
    assert a.classify == Classification(
        (
            ClassifyRule(log=r"Termination reason: (?P<reason>\w+)", required=True),
            ClassifyRule(exit_code=42, reason="nccl_test_failed"),
            ClassifyRule(status="Host EC2 .* terminated", reason="node_failed"),
        ),
        translate,
        classes,
    )
    assert b.classify.rules == (ClassifyRule(exit_code=7, reason="hung"),)
    assert b.classify.translate == {"cluster stop": "cancelled"}
    assert b.classify.reasons == {**classes, "hung": ReasonClass.PRODUCT}
    assert (c.classify.rules, c.expect.exit_codes) == ((), (9,))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classify: [{exit_code: 42, reason: job_completed}]", "2:12: classify.0: exit code 42 cannot mean job_completed: a rule cannot turn a failure into a success"),
        ("classify: [{exit_code: 42, reason: nope}]", "2:36: unknown reason 'nope'; there are "),
        ("classify: [{exit_code: 42}]", "2:12: classify.0: exit_code needs the reason that it means"),
        ("classify: [{status: x}]", "2:12: classify.0: status needs the reason that it means"),
        ("classify: [{reason: job_failed}]", "2:12: classify.0: a classify rule has exactly one of log, exit_code and status"),
        ("classify: [{log: x, status: y, reason: job_failed}]", "2:12: classify.0: a classify rule has exactly one of log, exit_code and status"),
        ("classify: [{log: 'no group'}]", "2:12: classify.0: a log rule needs named groups among (?P<reason>...), (?P<exit_code>...), (?P<restarts>...)"),
        ("classify: [{log: '(?P<code>x)'}]", "2:12: classify.0: a log rule needs named groups among"),
        ("classify: [{log: '(?P<reason>x)', reason: job_failed}]", "2:12: classify.0: a log rule reads the reason from its group"),
        ("classify: [{log: '(?P<reason>x*)'}]", "2:18: classify.0.log: the pattern matches an empty line, so it matches every log: for a line that every rank must print, use `required: true`"),
        (r"classify: [{log: '\A(?![\s\S]*END)(?P<reason>)'}]", "2:18: classify.0.log: the pattern matches an empty line, so it matches every log:"),
        (r"classify: [{log: 'end\n(?P<reason>x)'}]", "2:18: classify.0.log: each line is searched by itself, so a line break never matches"),
        ("classify: [{status: 'x*', reason: job_failed}]", "2:21: classify.0.status: the pattern matches an empty line, so it matches every text"),
        ("classify: [{exit_code: 3, reason: job_failed, required: true}]", "2:12: classify.0: required is only for log rules"),
        ("classify: [{log: '(?P<reason>x)', required: 1}]", "2:45: classify.0.required: expected true or false, not '1'"),
        ("classify: [{log: '('}]", "2:18: classify.0.log: not a valid regular expression: "),
        ("classify: {log: '(?P<reason>x)'}", "2:11: classify: expected a list, not a mapping"),
        ("translate: {x: job_faild}", "2:16: unknown reason 'job_faild', did you mean 'job_failed'?"),
        ("reasons: {hung: products}", "2:17: reasons.hung: a reason's class is product, user or infra, not 'products'"),
        ("reasons: {job_failed: infra}", "2:11: reasons: job_failed is a built-in reason"),
        ("reasons: {any: infra}", "2:11: reasons: any is a built-in reason"),
        ("reasons: {Hung: infra}", "2:11: reasons.Hung: 'Hung' is not a valid reason: use lower-case words"),
    ],
)  # fmt: skip
def test_an_invalid_rule_is_a_mistake(mistakes: Mistakes, text: str, message: str) -> None:
    found = mistakes(f"recipes: {{r: x}}\n{text}")
    assert len(found) == 1
    assert found[0].startswith(message)


def test_a_reason_that_only_another_recipe_adds_is_not_defined(mistakes: Mistakes) -> None:
    text = """\
        recipes:
          a: {run: x, reasons: {hung: product}, expect: {reason: hung}}
          b: {run: y, expect: {reason: hung}}
        """
    assert mistakes(text) == [
        "3:32: reason 'hung' is not defined for this cell: add it under `reasons` at the top level (cell b-1n-normal_completion)"
    ]


def test_restarts_beyond_max_restarts_need_a_rule_that_counts_them(load: Load, mistakes: Mistakes) -> None:
    text = "recipes: {a: {run: x, max_restarts: 1, expect: {restarts: '>1'}}}"
    (found,) = mistakes(text)
    assert found.startswith("1:59: expect.restarts: >1 can never be met: max_restarts is 1 (cell a-1n-")
    assert load(text.replace(">1", ">=1")).cells
    assert load(f"{text}\nclassify: [{{log: 'restarted (?P<restarts>[0-9]+) times'}}]").cells
