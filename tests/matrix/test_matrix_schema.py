"""The shipped JSON Schema is current, complete, and agrees with the loader."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import HealthCheck
from hypothesis import settings
from hypothesis import strategies as st

from pytest_clusterjobs.backends.registry import Site
from pytest_clusterjobs.matrix import load_matrix
from pytest_clusterjobs.matrix import Matrix
from pytest_clusterjobs.matrix import MatrixErrors
from pytest_clusterjobs.matrix import schema_json
from pytest_clusterjobs.matrix.schema import SCHEMA_FILE

Load = Callable[..., Matrix]
Mistakes = Callable[..., list[str]]


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


def as_json(value: Any) -> Any:
    """A YAML document as an editor reads it: keys are text."""
    if isinstance(value, dict):
        return {str(key): as_json(each) for key, each in value.items()}
    return [as_json(each) for each in value] if isinstance(value, list) else value


def test_the_shipped_file_is_current() -> None:
    assert SCHEMA_FILE.read_text(encoding="utf-8") == schema_json(), (
        "run python -m pytest_clusterjobs.matrix.schema"
    )


def test_every_key_has_a_description() -> None:
    def properties(node: Any, path: str) -> Iterator[tuple[str, Any]]:
        if isinstance(node, dict):
            for key, each in node.get("properties", {}).items():
                yield f"{path}.{key}", each
            for key, each in node.items():
                yield from properties(each, f"{path}.{key}")

    found = dict(properties(json.loads(schema_json()), ""))
    assert len(found) > 100
    assert [path for path, each in found.items() if not each.get("description")] == []


VALID = """\
recipes: {a: x}
---
recipes: {a: x, b: {run: y}, c: }
defaults: {run: z}
---
recipes: [a, b]
defaults: {run: x}
---
recipes: {a: x}
nodes: [1, 2]
---
recipes: {a: x}
nodes: {1: {max_runtime: 10m}, 2: , 4: {options: {slurm: {partition: big}}}}
---
recipes: {a: x}
axes: {PRECISION: [bf16, 3.10, true], B: {x: {env: {A: 1}}, y: }}
---
x-anchor: {any: [1, 2]}
recipes: {a: {run: x, env: {A: 1, B: text, C: true, D: null}, args: [1, a, 2.5], secrets: [T]}}
---
recipes: {a: {run: x, args: 5, resources: {gpus: 4, cpus: 16, memory: 64GiB}, marks: nightly, fixtures: [db]}}
---
recipes: {a: {run: x, marks: [a, {skip: why}, {timeout: 30}, {xfail: {reason: r, strict: true}}]}}
---
recipes: {a: {run: x, heartbeat_timeout: 1m30s, queue_timeout: 1.5h, grace_period: 250ms, max_restarts: 1, infra_retries: 2}}
---
recipes: {a: {run: x, heartbeat_timeout: null, owner: null, expect: null, description: "two\\nlines"}}
---
recipes: {a: {run: x, max_restarts: 2, expect: {reason: [job_failed, killed_by_signal], exit_code: nonzero, restarts: ">=1", run_time: 1m..5m, heartbeats: 3}}}
---
recipes: {a: {run: x, expect: {exit_code: [3, 4], log: {contains: a, excludes: [b], matches: [c]}}}}
---
recipes: {a: {run: x, expect: {metrics: {M: {pattern: "x={number}"}}}}}
---
recipes: {a: {run: x, expect: {metrics: {M: {pattern: "x=(.*)", pick: max, node: 0, min: 1, max: 2.5, reference: 2, tolerance: -5%..+20%}}}}}
---
recipes: {a: x}
classify: [{log: "(?P<reason>x)"}, {log: "(?P<exit_code>x)", required: true}, {exit_code: 42, reason: hung}, {status: x, reason: node_failed}]
translate: {some text: job_failed}
reasons: {hung: product}
---
recipes: {a: x}
nodes: [1, 2]
conditions: {c: , d: {run: exit 3, expect: {exit_code: 3}}}
exclude: [{recipe: a, nodes: [2], condition: d}]
include: [{recipe: a, nodes: 8, condition: c, marks: [nightly]}]
overrides: [{where: {nodes: 1, condition: c}, max_runtime: 1h}]
---
recipes: {a: x}
axes: {P: [1]}
conditions: {c: }
include: [{recipe: a, nodes: 8, condition: c, P: 1}]
---
backend: slurm
recipes: {a: {run: x, only: {backend: [slurm, local]}, options: {slurm: {partition: p, extra: [1, {a: b}]}, big: null}}}
"""


@pytest.mark.parametrize("text", VALID.split("---\n"))
def test_the_schema_accepts_what_the_loader_accepts(
    validator: jsonschema.Draft202012Validator, load: Load, text: str
) -> None:
    assert load(text).cells
    assert [error.message for error in validator.iter_errors(as_json(yaml.safe_load(text)))] == []


INVALID = """\
recipes: {}
---
recipes: a
---
recipes: {a b: x}
---
recipes: {a: 3}
---
recipes: {a: ""}
---
recipes: {a: x}
nodes: [0]
---
recipes: {a: x}
nodes: ["2"]
---
recipes: {a: x}
nodes: 2
---
recipes: {a: x}
condition: {}
---
recipes: {a: x}
conditions: {}
---
recipes: {a: {run: x, timeout: 5m}}
---
recipes: {a: {run: x, max_runtime: 5}}
---
recipes: {a: {run: x, max_runtime: 30m1h}}
---
recipes: {a: {run: x, resources: {memory: 64G}}}
---
recipes: {a: {run: x, resources: {gpu: 4}}}
---
recipes: {a: {run: x, shell: zsh}}
---
recipes: {a: {run: x, env: {A-B: 1}}}
---
recipes: {a: {run: x, env: {A: [1]}}}
---
recipes: {a: {run: x, env: {CLUSTERJOBS_X: 1}}}
---
recipes: {a: {run: x, max_restarts: 101}}
---
recipes: {a: {run: x, workdir: "a\\nb"}}
---
recipes: {a: {run: x, marks: [{a: 1, b: 2}]}}
---
recipes: {a: {run: x, fixtures: [a-b]}}
---
recipes: {a: {run: x, expect: {reason: Job Failed}}}
---
recipes: {a: {run: x, expect: {reason: []}}}
---
recipes: {a: {run: x, expect: {exit_code: 256}}}
---
recipes: {a: {run: x, expect: {exit_code: "3"}}}
---
recipes: {a: {run: x, expect: {restarts: ">=x"}}}
---
recipes: {a: {run: x, expect: {run_time: 10}}}
---
recipes: {a: {run: x, expect: {run_time: "<10"}}}
---
recipes: {a: {run: x, expect: {metrics: {M: {pattern: "no group"}}}}}
---
recipes: {a: {run: x, expect: {log: {contains: ""}}}}
---
recipes: {a: {run: x, expect: {log: {excludes: [a, " "]}}}}
---
recipes: {a: {run: x, expect: {log: {matches: ""}}}}
---
recipes: {a: x}
classify: [{log: "(?P<reason>x)", required: 1}]
---
recipes: {a: {run: x, expect: {metrics: {M: {pattern: "(x)", tolerance: 5}}}}}
---
recipes: {a: {run: x, only: {}}}
---
recipes: {a: {run: x, only: {nodes: []}}}
---
recipes: {a: x}
overrides: [{max_runtime: 5m}]
---
recipes: {a: x}
include: [{recipe: a}]
---
recipes: {a: x}
reasons: {hung: bad}
---
recipes: {a: x}
axes: {A-B: [1]}
---
recipes: {a: x}
axes: {A: []}
"""


@pytest.mark.parametrize("text", INVALID.split("---\n"))
def test_the_schema_refuses_what_the_loader_refuses_for_its_shape(
    validator: jsonschema.Draft202012Validator, mistakes: Mistakes, text: str
) -> None:
    assert mistakes(text)
    assert not validator.is_valid(as_json(yaml.safe_load(text)))


_SCALARS = st.one_of(
    st.sampled_from(
        ["", "x", "1h30m", "5", ">=1", "1m..5m", "64GiB", "job_failed", "nonzero", "bash", "5%", "A", "a b"]
    ),
    st.integers(-2, 300),
    st.booleans(),
    st.none(),
)
_VALUES = st.one_of(
    _SCALARS, st.lists(_SCALARS, max_size=2), st.dictionaries(st.sampled_from("ABC"), _SCALARS, max_size=2)
)
_KEYS = st.sampled_from(
    re.findall(
        r"^    (\w+):", Path(SCHEMA_FILE).with_name("model.py").read_text(encoding="utf-8"), re.MULTILINE
    )
)


@settings(max_examples=200, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(fragment=st.dictionaries(_KEYS, _VALUES, max_size=3))
def test_generated_matrices_that_the_loader_accepts_are_valid_in_the_schema(
    validator: jsonschema.Draft202012Validator, tmp_path: Path, site: Site, fragment: dict[str, Any]
) -> None:
    document = {"recipes": {"a": "x"}, "conditions": {"c": fragment}}
    path = tmp_path / "m.json"
    path.write_text(json.dumps(document))
    try:
        load_matrix(path, rootdir=tmp_path, site=site)
    except MatrixErrors:
        return
    assert [error.message for error in validator.iter_errors(document)] == []
