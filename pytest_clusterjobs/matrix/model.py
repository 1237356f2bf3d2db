"""The format of a matrix as pydantic models. The text under each field becomes its description in the JSON Schema."""

from __future__ import annotations

from typing import Annotated
from typing import Any
from typing import get_args

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import model_validator
from pydantic import WithJsonSchema

from ..judge.patterns import compiled
from ..model import Pick
from . import fields as f
from . import readers as r


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    def said(self) -> dict[str, Any]:
        """The keys that the file has (``None`` for an explicit null), nested models likewise."""
        return {key: _said(getattr(self, key)) for key in self.model_fields_set}


def _said(value: Any) -> Any:
    if isinstance(value, _Model):
        return value.said()
    if isinstance(value, dict):
        return {key: _said(each) for key, each in value.items()}
    return value


class ResourcesModel(_Model):
    """What each node must offer."""

    gpus: Annotated[int, *f.whole(0, 1024)] | None = None
    """GPUs of each node."""
    cpus: Annotated[int, *f.whole(1, 100_000)] | None = None
    """CPUs of each node."""
    memory: f.Size | None = None
    """Memory of each node, with a unit: 64GiB, 512MB."""


class LogModel(_Model):
    """Text that the complete logs of the last start must or must not have."""

    contains: f.Texts | None = None
    """Texts that must all be in the log."""
    excludes: f.Texts | None = None
    """Texts of which none may be in the log."""
    matches: f.Regexes | None = None
    """Regular expressions that must all be found, each in one line."""


class MetricModel(_Model):
    """A number that the job prints, and its bounds."""

    pattern: f.MetricRegex | None = None
    """Regular expression with {number} where the number stands: 'sps={number}'. Its last occurrence in the log counts."""
    pick: Annotated[str, *f.choice(*get_args(Pick))] | None = None
    """Which of several numbers counts; the last unless said."""
    node: Annotated[int, *f.whole(0, 100_000)] | None = None
    """The rank whose log is read; all ranks unless said."""
    min: f.Number | None = None
    """The smallest value allowed."""
    max: f.Number | None = None
    """The largest value allowed."""
    reference: f.Number | None = None
    """The value to compare with, within `tolerance`."""
    tolerance: f.Tolerance | None = None
    """How far from `reference`: 5% both sides, -5% lower side, -5%..+20%."""


class ExpectModel(_Model):
    """How the job must end. Nothing said: job_completed with exit code 0."""

    reason: f.ExpectedReasons | None = None
    """The reason, any of a list of reasons, or `any`."""
    exit_code: f.ExitCodes | None = None
    """The command's exit code, any of a list, or `nonzero`."""
    restarts: f.CountRange | None = None
    """How often the cluster started the job again: 0, '>=1', '1..3'."""
    run_time: f.DurationRange | None = None
    """From the first start to the end: '<10m', '1m..5m'."""
    heartbeats: f.CountRange | None = None
    """Heartbeats seen: '>=1', which an expected heartbeat_timeout implies; '>=0' takes that back."""
    log: LogModel | None = None
    """Text that the logs must or must not have."""
    metrics: dict[f.MetricName, MetricModel | None] | None = None
    """Numbers that the job prints, by name, and their bounds."""


class ClassifyModel(_Model):
    """One way to read a job's own words: exactly one of log, exit_code and status."""

    log: f.RuleRegex | None = None
    """Regular expression with named groups among reason, exit_code and restarts; the last line counts."""
    exit_code: f.ExitCode | None = None
    """The exit code that means `reason`."""
    status: f.Regex | None = None
    """Regular expression on the scheduler's text that means `reason`."""
    reason: f.Word | None = None
    """The reason that an exit code or a status stands for."""
    required: f.Flag | None = None
    """Of a log rule: every rank has to print such a line, and one without has not said how it ended."""

    @model_validator(mode="after")
    def _consistent(self) -> ClassifyModel:
        given = self.model_fields_set & {"log", "exit_code", "status"}
        if len(given) != 1:
            r.fail("a classify rule has exactly one of log, exit_code and status")
        if self.log is not None:
            groups = set(compiled(self.log).groupindex)
            if self.reason is not None:
                r.fail("a log rule takes the reason from its group (?P<reason>...); map words with translate")
            if not groups or not groups <= {"reason", "exit_code", "restarts"}:
                r.fail(
                    "a log rule needs named groups among (?P<reason>...), (?P<exit_code>...), (?P<restarts>...)"
                )
        elif self.required is not None:
            r.fail("required is only for log rules")
        elif self.reason is None:
            r.fail(f"{given.pop()} needs the reason that it means")
        elif self.exit_code and self.reason == "job_completed":
            r.fail(
                f"exit code {self.exit_code} cannot mean job_completed: a rule cannot turn a failure into a success"
            )
        return self


class Fragment(_Model):
    """A part of a job: the same mapping for defaults, recipes, nodes, axis values, conditions, overrides and includes."""

    run: f.Script | None = None
    """Script for `bash -eo pipefail` (or `sh -e`), the same on every node. Drops the args of lower layers."""
    shell: Annotated[str, *f.choice("bash", "sh")] | None = None
    """The script's shell: bash, or sh for images without bash."""
    setup: f.Script | None = None
    """Script that runs once per start and node before `run`, before the heartbeat clock; its failure is start_failed."""
    args: f.Args | None = None
    """Positional parameters of the script: text is split as a shell would, a list is taken as it is. Layers append."""
    env: dict[f.EnvName, f.EnvValue | None] | None = None
    """Environment variables; values keep their source text, null removes."""
    secrets: f.Secrets | None = None
    """Names of variables of the caller's environment that the job gets; their values appear nowhere."""
    workdir: f.Line | None = None
    """Folder that the script runs in."""
    image: f.Line | None = None
    """Container image, for clusters that run containers."""
    resources: ResourcesModel | None = None
    """What each node must offer."""
    heartbeat_timeout: f.Duration | None = None
    """End the job when $CLUSTERJOBS_HEARTBEAT_FILE was not touched for so long; off unless set. Output does not count."""
    max_runtime: f.Duration | None = None
    """Longest run of one start, setup included; 2h unless set."""
    queue_timeout: f.Duration | None = None
    """Longest wait for a start; 12h unless set."""
    grace_period: f.Duration | None = None
    """Between TERM and KILL; 10s unless set."""
    max_restarts: Annotated[int, *f.whole(0, 100)] | None = None
    """How often the cluster may start the job again inside one attempt; 0 unless set."""
    infra_retries: Annotated[int, *f.whole(0, 20)] | None = None
    """How often a new attempt is submitted after an infrastructure failure; 0 unless set."""
    expect: ExpectModel | None = None
    """How the job must end."""
    classify: list[ClassifyModel] | None = None
    """Rules that read the job's own words, in order; the first to fill a field wins."""
    translate: dict[f.Text, f.Word | None] | None = None
    """A wrapper's word to a reason: {cluster_stop: cancelled}."""
    reasons: dict[f.NewReason, f.ReasonClassName | None] | None = None
    """Reasons to add, each with its class: product, user or infra."""
    marks: f.MarkCalls | None = None
    """pytest marks: [nightly, {skip: why}, {timeout: 30}]. Layers append."""
    fixtures: f.FixtureNames | None = None
    """pytest fixtures that the test uses. Layers append."""
    owner: f.Line | None = None
    """Who looks after it; appears in reports."""
    description: f.Text | None = None
    """What it is for; appears in reports."""
    only: f.WhereClause | None = None
    """Axis names to the values that it is for: {nodes: [1, 2]}; on `backend` it skips instead of removing."""
    options: dict[f.Text, dict[f.Text, f.AnyValue] | None] | None = None
    """What one cluster understands, by backend type or NAME: {slurm: {partition: big}}."""


_Entry = Fragment | None
_Recipe = Annotated[_Entry, *f.short("run")]


class Override(Fragment):
    """A fragment for the cells that `where` names."""

    where: f.WhereClause
    """Axis names to values: {nodes: 4, condition: [a, b]}; every one must match."""


class Include(Fragment):
    """One more cell: a value of every axis, and a fragment."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, WithJsonSchema({"type": ["string", "number", "boolean"]})]]

    recipe: f.Name
    """The cell's recipe."""
    nodes: f.NodeCount
    """The cell's node count; it need not be one of the axis."""
    condition: f.Name | None = None
    """The cell's condition."""


_Recipes = Annotated[dict[f.RecipeName, _Recipe], *f.names(f.NAME)]
_Nodes = Annotated[dict[f.NodeCount, _Entry], *f.names(f.NODE_COUNT)]
_AxisValues = Annotated[dict[f.AxisValue, _Entry], *f.names(f.SCALAR)]


class RecipesFile(_Model):
    """A file that ``recipes_from`` names, wrapped in the key that it stands for."""

    recipes: _Recipes


class Document(_Model):
    """A matrix for pytest-clusterjobs: recipes x node counts x conditions, each combination a test."""

    backend: f.Line | None = None
    """Where the jobs run, `local` unless set; --cluster-backend wins."""
    defaults: Fragment | None = None
    """The fragment below all others."""
    recipes: _Recipes | None = None
    """What to run, by name: a command, a fragment, or a list of names with `run` in defaults."""
    recipe_files: f.Lines | None = None
    """Globs relative to this file: every file is a recipe, named by its path; $CLUSTERJOBS_RECIPE_FILE has the path."""
    recipes_from: f.Lines | None = None
    """JSON or YAML files, relative to this one, that hold what could stand under `recipes`."""
    nodes: _Nodes | None = None
    """Node counts, as a list or with a fragment each; 1 unless said."""
    axes: dict[f.EnvName, _AxisValues] | None = None
    """Further axes: environment variables and their values, as a list or with a fragment each."""
    conditions: Annotated[dict[f.Name, _Entry], f.NotEmpty()] | None = None
    """Exit conditions by name, a fragment each; one `normal_completion` unless said."""
    exclude: list[f.WhereClause] | None = None
    """Combinations to leave out: axis names to values."""
    include: list[Include] | None = None
    """Cells to add."""
    overrides: list[Override] | None = None
    """Fragments for the cells that their `where` names, applied in order."""
    classify: list[ClassifyModel] | None = None
    """Rules that read the jobs' own words, for all cells."""
    translate: dict[f.Text, f.Word | None] | None = None
    """A wrapper's words to reasons, for all cells."""
    reasons: dict[f.NewReason, f.ReasonClassName] | None = None
    """Reasons to add, each with its class, for all cells."""
