"""Common mistakes: each is reported with its fix, and the rest of the file is still checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.matrix import load_matrix
from pytest_clusterjobs.matrix import Matrix
from pytest_clusterjobs.matrix import MatrixErrors

Load = Callable[..., Matrix]
Mistakes = Callable[..., list[str]]


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ('recipes: {r: x}\nnodes: 2', ['2:8: nodes: expected a list: write `nodes: [2]`']),
        ('recipes: {r: x}\nnodes: 1, 2', ['2:8: nodes: expected a list: write `nodes: [1, 2]`']),
        ('recipes: {r: x}\naxes: {SEED: 3}', ['2:14: axes.SEED: expected a list: write `SEED: [3]`']),
        ('recipes: {r: x}\naxes: [SEED]', ['2:7: axes: expected a mapping, not a list, such as SEED: [1, 2]']),
        ('recipes: {r: x}\naxes: 3', ['2:7: axes: expected a mapping, not one value, such as SEED: [1, 2]']),
        ('recipes:\n- bert: python train.py\n- gpt: python t.py', ['2:3: recipes: expected a mapping, not a list of mappings: write `bert: python train.py` without the dash']),
        ('recipes:\n- name: bert\n  run: python train.py', ['2:3: recipes: expected a mapping, not a list of mappings: write `bert: {run: python train.py}` without the dash']),
        ('recipes:\n- bert\n- gpt: {args: x}\ndefaults: {run: y}', ['3:3: recipes: expected a mapping, not a list of mappings: write `gpt: {args: x}` without the dash']),
        ('recipes: python train.py', ['1:10: recipes: a recipe needs a name: write `NAME: python train.py` below recipes']),
        ('recipes: {bert: [python, train.py]}', ['1:17: recipes.bert: expected a shell script, not a list: write it as one text, `bert: python train.py`']),
        ("recipes: {bert: {run: [python, 'a b.py']}}", ['1:23: recipes.bert.run: expected a shell script, not a list: write it as one text, `run: |` and one command per line below it']),
        ('recipes: {bert: {run: [python a, python b]}}', ['1:23: recipes.bert.run: expected a shell script, not a list: write it as one text, `run: |` and one command per line below it']),
        ('recipes: {bert: {run: x, setup: [pip install a]}}', ['1:33: recipes.bert.setup: expected a shell script, not a list: write it as one text, `setup: |` and one command per line below it']),
        ('recipes: {bert: {run: {a: b}}}', ['1:23: recipes.bert.run: expected one value, not a mapping']),
        ('recipes: {r: x}\nconditions: [normal]', ['2:13: conditions: expected a mapping, not a list: write `normal: {}`']),
        ('recipes: {r: x}\nconditions: normal', ['2:13: conditions: expected a mapping, not one value: write `normal: {}`']),
        ('recipes: {r: x}\nconditions:\n- normal: {args: x}', ['3:3: conditions: expected a mapping, not a list of mappings: write `normal: {args: x}` without the dash']),
        ('recipes: {r: x}\nconditions: {a: --steps 3}', ['2:17: conditions.a: expected a mapping, not one value: write `{args: --steps 3}`']),
        ('recipes: {r: x}\nconditions: {a: [--steps, 3]}', ['2:17: conditions.a: expected a mapping, not a list: write `{args: [--steps, 3]}`']),
        ('recipes: {r: x}\ndefaults: {env: [A=1, B=2]}', ['2:17: defaults.env: expected a mapping, not a list: write `{A: 1, B: 2}`']),
        ('recipes: {r: x}\ndefaults: {env: A=1}', ['2:17: defaults.env: expected a mapping, not one value: write `{A: 1}`']),
        ('recipes: {r: x}\ndefaults: {env: [A]}', ['2:17: defaults.env: expected a mapping, not a list, such as {NAME: value}']),
        ('recipes: {r: x}\ndefaults: {env: [{A: 1}]}', ['2:18: defaults.env: expected a mapping, not a list of mappings: write `A: 1` without the dash']),
        ('recipes: {r: x}\ndefaults: {env: 3}', ['2:17: defaults.env: expected a mapping, not one value, such as {NAME: value}']),
        ('recipes: {r: x}\nconditions: {c: {expect: heartbeat_timeout}}', ['2:26: conditions.c.expect: expected a mapping, not one value: write `expect: {reason: heartbeat_timeout}`']),
        ('recipes: {r: x}\nconditions: {c: {expect: 3}}', ['2:26: conditions.c.expect: expected a mapping, not one value: write `expect: {exit_code: 3}`']),
        ('recipes: {r: x}\nconditions: {c: {expect: failed}}', ['2:26: conditions.c.expect: expected a mapping, not one value: write `expect: {reason: job_failed}`']),
        ('recipes: {r: x}\nconditions: {c: {expect: [1, 2]}}', ['2:26: conditions.c.expect: expected a mapping, not a list: write `expect: {exit_code: [1, 2]}`']),
        ('recipes: {r: x}\nconditions: {c: {expect: nonzero}}', ['2:26: conditions.c.expect: expected a mapping, not one value: write `expect: {exit_code: nonzero}`']),
        ('recipes: {r: x}\nconditions: {c: {expect: any}}', ['2:26: conditions.c.expect: expected a mapping, not one value: write `expect: {reason: any}`']),
        ('recipes: {r: x}\nconditions: {c: {expect: [{reason: job_failed}]}}', ['2:27: conditions.c.expect: expected a mapping, not a list of mappings: write `reason: job_failed` without the dash']),
        ('recipes: {r: x}\nconditions: {c: {expect: {exit_code: failed}}}', ["2:38: conditions.c.expect.exit_code: an exit code is a whole number from 0 to 255 or nonzero, not 'failed': write reason: job_failed"]),
        ("recipes: {r: x}\nconditions: {c: {expect: {exit_code: '!=0'}}}", ["2:38: conditions.c.expect.exit_code: an exit code is a whole number from 0 to 255 or nonzero, not '!=0': write nonzero"]),
        ('recipes: {r: x}\nconditions: {c: {expect: {reason: 3}}}', ['2:35: conditions.c.expect.reason: a reason is a word; 3 is an exit code: write exit_code: 3']),
        ('recipes: {r: x}\nconditions: {c: {expect: {reason: TIMEOUT}}}', ["2:35: conditions.c.expect.reason: 'TIMEOUT' is not a valid reason: write max_runtime_reached"]),
        ('recipes: {r: x}\nconditions: {c: {expect: {reason: Segmentation fault}}}', ["2:35: conditions.c.expect.reason: 'Segmentation fault' is not a valid reason: write killed_by_signal"]),
        ('recipes: {r: x}\nconditions: {c: {expect: {log: [a, b]}}}', ['2:32: conditions.c.expect.log: expected a mapping, not a list: write `log: {contains: [a, b]}`']),
        ("recipes: {r: x}\nconditions: {c: {expect: {metrics: {sps: 'sps={number}'}}}}", ["2:42: conditions.c.expect.metrics.sps: expected a mapping, not one value: write `sps: {pattern: 'sps={number}'}`"]),
        ("recipes: {r: x}\nconditions: {c: {expect: {metrics: [{name: sps, pattern: 'sps={number}', min: 1}]}}}", ["2:37: conditions.c.expect.metrics: expected a mapping, not a list of mappings: write `sps: {pattern: 'sps={number}', min: 1}` without the dash"]),
        ("recipes: {r: x}\nconditions: {c: {expect: {metrics: {sps: {pattern: 'sps={number}', reference: 3, tolerance: [-5%, 10%]}}}}}", ['2:93: conditions.c.expect.metrics.sps.tolerance: expected one text, not a list: write `tolerance: -5%..+10%`']),
        ("recipes: {r: x}\nconditions: {c: {expect: {metrics: {sps: {pattern: 'sps={number}', reference: 3, tolerance: -5%..10%}}}}}", ["2:93: conditions.c.expect.metrics.sps.tolerance: '-5%..10%' is not a valid tolerance: write -5%..+10%"]),
        ('recipes: {r: x}\nconditions: {c: {expect: {sps: 3}}}', ["2:27: unknown key 'sps'; there are reason, exit_code, restarts, run_time, heartbeats, log, metrics"]),
        ('recipes: {r: x}\nconditions: {c: {expect: {contains: x}}}', ["2:27: unknown key 'contains': it belongs under expect: {log: {...}}"]),
        ('recipes: {r: x}\nconditions: {c: {expect: {max_runtime: 3m}}}', ["2:27: unknown key 'max_runtime': max_runtime belongs next to expect"]),
        ('recipes: {r: x}\nconditions: {c: {contains: x, min: 3, where: {nodes: 1}, reason: job_failed}}', ["2:18: unknown key 'contains': it belongs under expect: {log: {...}}", "2:31: unknown key 'min': it belongs under expect: {metrics: {NAME: {...}}}", "2:39: unknown key 'where': it belongs in an entry of overrides", "2:58: unknown key 'reason': it belongs under expect"]),
        ('recipes: {r: x}\nclassify:\n- {exit_code: 3, reason: job_failed, translate: {a: b}}', ["3:38: unknown key 'translate': translate belongs next to classify"]),
        ('recipes: {r: x}\nrun: x', ["2:1: unknown key 'run': run belongs in a recipe or a condition, or under defaults for all"]),
        ('recipes: {r: x}\nenv: {A: 1}', ["2:1: unknown key 'env': env belongs in a recipe or a condition, or under defaults for all"]),
        ('recipes: {r: x}\nexclude: {nodes: 1}', ['2:10: exclude: expected a list, not a mapping: put it in [ ]']),
        ('recipes: {r: x}\noverrides: {where: {nodes: 1}, env: {A: 1}}', ['2:12: overrides: expected a list, not a mapping: put it in [ ]']),
        ('recipes: {r: x}\ninclude: {recipe: r, nodes: 3}', ['2:10: include: expected a list, not a mapping: put it in [ ]']),
        ('recipes: {r: x}\ndefaults: {conditions: {a: {}}}', ["2:12: unknown key 'conditions': conditions belongs at the top level"]),
        ('recipes: {r: x}\ndefaults: {resources: 4}', ['2:23: defaults.resources: expected a mapping, not one value, such as {gpus: 4, memory: 64GiB}']),
        ('recipes: {r: x}\ndefaults: {options: 4}', ['2:21: defaults.options: expected a mapping, not one value, such as {slurm: {partition: big}}']),
        ('recipes: {r: x}\ndefaults: {translate: [a]}', ['2:23: defaults.translate: expected a mapping, not a list, such as {cluster_stop: cancelled}']),
        ('recipes: {r: x}\nreasons: [diverged]', ['2:10: reasons: expected a mapping, not a list, such as {diverged: product}']),
        ('recipes:\n  bert:\n  run: python train.py\n  env: {A: 1}\n', ["3:3: recipes: 'run' is on the level of 'bert' (line 2), which is empty: indent it below bert", "4:3: recipes: 'env' is on the level of 'bert' (line 2), which is empty: indent it below bert"]),
        ('recipes:\nbert: python train.py\nnodes: [1]', ["2:1: 'bert' is on the level of recipes (line 1), which is empty: indent it below recipes"]),
        ('recipes: {r: x}\nconditions:\nnormal: {}\nslow: {max_runtime: 5m}', ["3:1: 'normal' is on the level of conditions (line 2), which is empty: indent it below conditions", "4:1: 'slow' is on the level of conditions (line 2), which is empty: indent it below conditions"]),
        ('recipes: {r: x}\nconditions:\n  slow:\n  max_runtime: 5m\n', ["4:3: conditions: 'max_runtime' is on the level of 'slow' (line 3), which is empty: indent it below slow"]),
        ('recipes: {r: x}\nconditions:\ntimeout: 5m', ["3:1: unknown key 'timeout': use max_runtime (the job) or marks: [{timeout: SECONDS}] (the test)"]),
        ('recipes:\n  models/bert.yaml: x\n', ["2:3: recipes.models/bert.yaml: 'models/bert.yaml' cannot be part of a test id; use letters, digits and . _ + - (at most 100); recipes that are files are named by their paths: recipe_files: GLOB"]),
        ('recipes: {r: x}\nnodes: [1, 1, x, 2, 2]\nconditions: {c: {expect: {reason: oom}}}', ["2:12: nodes: '1' is in the list twice", "2:15: nodes.x: expected a whole number, not 'x'", "2:21: nodes: '2' is in the list twice", "3:35: unknown reason 'oom': write out_of_memory"]),
        ('recipes: {r: x}\nnodes: {a: {}, b: {}}\nconditions: {c: {expect: {reason: oom}}}\ninclude: [{recipe: r, nodes: 1, condition: d}]', ["2:9: nodes.a: expected a whole number, not 'a'", "2:16: nodes.b: expected a whole number, not 'b'", "3:35: unknown reason 'oom': write out_of_memory", "4:44: include: condition has no value 'd'; there is c"]),
        ('recipes: {a: {run: x, args: a,b}}', ["1:31: unknown key 'b': inside { } a text with a comma must be in quotes"]),
        ('recipes: {a: {run: echo hi, there}}', ["1:29: unknown key 'there': inside { } a text with a comma must be in quotes"]),
        ('recipes: {}\nnodes: {x: }\noverrides: [{where: {recipe: z, condition: q}, env: {A: b}}]', ['1:10: recipes: at least one entry is required', "2:9: nodes.x: expected a whole number, not 'x'", "3:44: condition has no value 'q'; there is normal_completion"]),
        ('recipes: {r: x}\nconditions: {c: {only: 4}}', ['2:24: conditions.c.only: a selection maps axes to values: {nodes: [1, 2], condition: normal_completion}']),
        ('recipes: {r: x}\ninclude: [{recipe: r, nodes: 1}]', ['2:11: duplicate cell r-1n-normal_completion (first from line 1); to change cells of the product use overrides']),
    ],
)  # fmt: skip
def test_each_mistake_says_what_to_write_instead(mistakes: Mistakes, text: str, messages: list[str]) -> None:
    assert mistakes(text) == messages


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('recipes:\n  a: x\n nodes: [1]\n', '3:2: line 3 is indented by 1, its neighbours by 0 (from line 1)'),
        ('recipes: {a: x}\n nodes: [1]\n', '2:2: line 2 is indented by 1, its neighbours by 0 (from line 1)'),
        ('recipes:\n  a:\n    run: x\n   args: y\n', '4:4: line 4 is indented by 3, its neighbours by 2 (from line 2)'),
        ('recipes:\n  a: x\n    args: y\n', '3:9: line 3 is indented by 4, line 2 by 2, which already has a value: indent both lines alike, or write nothing after the `:` of line 2'),
        ('recipes:\n  a: x\n  - b\n', '3:3: - is where its neighbours are keys (from line 2): write `KEY: ...`'),
        ('recipes:\n  a: echo x: y\n', '2:12: a text with `: ` must be in quotes'),
        ('recipes:\n  a: x\nnodes\n', '3:1: line 3 has no `:` after its key'),
        ('recipes:\n  a\n  b: y\n', '2:3: line 2 has no `:` after its key'),
        ('recipes: {a: {args: --x ${STEPS}}}\n', '1:26: inside { } a text with { } : # , must be in quotes (or a bracket is not closed)'),
        ('recipes: {a: {run: echo x: y}}\n', '1:26: inside { } a text with { } : # , must be in quotes (or a bracket is not closed)'),
        ('recipes: {a: {run: echo # hi}}\nnodes: [1]\n', '1:14: inside { } a text with { } : # , must be in quotes (or a bracket is not closed)'),
        ('recipes: {a: {run: x}\nnodes: [1]\n', '1:10: the { that opens here is not closed before line 2'),
        ('nodes: [1, 2\nconditions: {a: {}}\n', '1:8: the [ that opens here is not closed before line 2'),
        ('nodes: [1, 2}\n', '1:13: inside [ ] a text with [ ] { } : # , must be in quotes (or a bracket is not closed)'),
        ("recipes: {a: 'it}\n", '1:14: the quote that opens here is not closed'),
        ('recipes:\n  a: "it\n', '2:6: the quote that opens here is not closed'),
        ('recipes: {a: "\\d+"}\n', '1:15: not a valid escape in double quotes: put a text with backslashes in single quotes'),
        ('recipes:\n  a: "x" y\n', '2:10: a text continues after its closing quote or bracket: put all of it in quotes'),
        ('recipes: {a: @x}\n', '1:14: a text cannot begin with @: put it in quotes'),
        ('recipes:\n  a: `x`\n', '2:6: a text cannot begin with `: put it in quotes'),
        ('recipes:\n  a: %x\n', '2:6: a text cannot begin with %: put it in quotes'),
        ('recipes:\n  a: *.py\n', '2:6: a text that begins with * must be in quotes'),
        ('recipes:\n  a: & x\n', '2:6: a text that begins with & must be in quotes'),
        ('recipes:\n  a: *x\n', '2:6: no anchor has this name; a text that begins with * must be in quotes'),
        ('recipes:\n  a: > file\n', '2:6: the text of a `>` begins on the next line; a text that begins with > must be in quotes'),
        ('recipes:\n  a: | tee x\n', '2:6: the text of a `|` begins on the next line; a text that begins with | must be in quotes'),
        ('nodes: [1, , 2]\n', '1:12: a value is missing here; a text with { } [ ] , must be in quotes'),
        ('recipes: {a: }}\n', '1:15: a text continues after its closing quote or bracket: put all of it in quotes'),
        ('recipes: {a: {run: "x", args: [a b}}\n', '1:35: inside [ ] a text with [ ] { } : # , must be in quotes (or a bracket is not closed)'),
    ],
)  # fmt: skip
def test_a_yaml_syntax_error_is_explained_for_the_file(mistakes: Mistakes, text: str, message: str) -> None:
    assert mistakes(text) == [message]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("timeout limit walltime time_limit TIMEOUT DEADLINE timed-out", "max_runtime_reached"),
        ("stalled hang hung stuck no_output heartbeat", "heartbeat_timeout"),
        ("oom OOM OOM-killed out-of-memory memory", "out_of_memory"),
        ("success ok pass passed COMPLETED done", "job_completed"),
        ("fail failed error crash FAILED exception", "job_failed"),
        ("signal segfault sigkill SIGTERM killed SIGSEGV", "killed_by_signal"),
        ("spot preemption evicted PREEMPTED", "preempted"),
        ("NODE_FAIL node_failure hardware", "node_failed"),
        ("cancel canceled scancel", "cancelled"),
        ("pending queued", "queue_timeout"),
        ("setup_failed BOOT_FAIL", "start_failed"),
    ],
)
def test_terms_of_other_tools_suggest_the_right_reason(mistakes: Mistakes, words: str, reason: str) -> None:
    for word in words.split():
        for text in (f"expect: {{reason: {word}}}", f"translate: {{their_word: {word}}}"):
            (message,) = mistakes(f"recipes: {{a: x}}\ndefaults: {{{text}}}")
            assert message.endswith(f": write {reason}"), message


def test_the_nearest_spelling_is_suggested_for_misspellings_only(mistakes: Mistakes) -> None:
    (typo,) = mistakes("recipes: {a: {run: x, expect: {reason: out_of_memroy}}}")
    assert typo.endswith("unknown reason 'out_of_memroy', did you mean 'out_of_memory'?")
    (word,) = mistakes("recipes: {a: {run: x, expect: {reason: started}}}")
    assert "; there are job_completed, job_failed, " in word


def test_a_word_of_another_tool_that_the_matrix_adds_is_a_reason(load: Load) -> None:
    text = "recipes: {a: {run: x, expect: {reason: stalled}}}\nreasons: {stalled: product}"
    assert load(text).cells[0].expect.reasons == ("stalled",)


def test_a_recipe_may_have_the_name_of_a_key(load: Load) -> None:
    text = "recipes: {smoke: , run: 'x'}\ndefaults: {run: y}"
    assert [cell.axes["recipe"] for cell in load(text).cells] == ["smoke", "run"]
    text = "recipes: {smoke: , setup: {run: z}}\nconditions: {c: {run: y}}"
    assert [cell.axes["recipe"] for cell in load(text).cells] == ["smoke", "setup"]


def test_mistakes_of_shape_and_of_meaning_are_reported_in_one_round(mistakes: Mistakes) -> None:
    text = """\
        recipes:
        - bert: {run: python train.py, env: [A=1]}
        nodes: 2
        conditions:
          hang: {expect: {reason: stalled}, max_runtme: 5m}
          stop: {expect: failed, options: {slrm: {partition: big}}}
        overrides:
          where: {recipe: brt, nodes: 4}
          env: {B: 1}
        """
    found = mistakes(text)
    assert [each.partition(": ")[0] for each in found] == [
        "2:3", "2:37", "3:8", "5:27", "5:37", "6:18", "6:36", "8:3", "8:19", "8:31",
    ]  # fmt: skip


@pytest.mark.parametrize("text", ["\\ud83d\\ude00 x", "\\uD834\\uDD1E", "a\\\\\\ud83d\\ude00"])
def test_json_may_escape_a_character_as_a_surrogate_pair(tmp_path: Path, site: Site, text: str) -> None:
    content = f'{{"a": "echo {text}"}}'
    (tmp_path / "r.json").write_text(content)
    (tmp_path / "m.yaml").write_text("recipes_from: r.json")
    (cell,) = load_matrix(tmp_path / "m.yaml", rootdir=tmp_path, site=site).cells
    assert cell.spec.run == json.loads(content)["a"]


def test_a_lone_surrogate_in_json_is_a_mistake(tmp_path: Path, site: Site) -> None:
    (tmp_path / "r.json").write_text('{"a": "echo \\ud83d"}')
    (tmp_path / "m.yaml").write_text("recipes_from: r.json")
    with pytest.raises(MatrixErrors, match=r"r\.json:1:15: the escape does not name a character"):
        load_matrix(tmp_path / "m.yaml", rootdir=tmp_path, site=site)
