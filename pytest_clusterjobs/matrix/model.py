"""The format of a matrix as pydantic models.

The text under each field is its description in the JSON Schema.
"""

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

    def explicit_fields(self) -> dict[str, Any]:
        """The keys that the file has (``None`` for an explicit null), also in nested models."""
        return {key: _explicit(getattr(self, key)) for key in self.model_fields_set}


def _explicit(value: Any) -> Any:
    if isinstance(value, _Model):
        return value.explicit_fields()
    if isinstance(value, dict):
        return {key: _explicit(each) for key, each in value.items()}
    return value


class ResourcesModel(_Model):
    """Resources per node."""

    gpus: Annotated[int, *f.whole(0, 1024)] | None = None
    """GPUs per node."""
    cpus: Annotated[int, *f.whole(1, 100_000)] | None = None
    """CPUs per node."""
    memory: f.Size | None = None
    """Memory per node, with a unit: 64GiB, 512MB."""


class LogModel(_Model):
    """Text that must or must not be in the complete logs of the last start."""

    contains: f.Texts | None = None
    """Texts that must all be in the log."""
    excludes: f.Texts | None = None
    """Texts that must not be in the log."""
    matches: f.Regexes | None = None
    """Regular expressions that must each match a line of the log."""


class MetricModel(_Model):
    """A number that the job prints, and its bounds."""

    pattern: f.MetricRegex | None = None
    """Regular expression with {number} in place of the number: 'sps={number}'."""
    pick: Annotated[str, *f.choice(*get_args(Pick))] | None = None
    """Which of several numbers is used. Default: last."""
    node: Annotated[int, *f.whole(0, 100_000)] | None = None
    """The rank whose log is read. Default: all ranks."""
    min: f.Number | None = None
    """The smallest value allowed."""
    max: f.Number | None = None
    """The largest value allowed."""
    reference: f.Number | None = None
    """The value from which the number may differ by `tolerance`."""
    tolerance: f.Tolerance | None = None
    """The allowed difference from `reference`: 5% (both sides), -5% (below only), -5%..+20%."""


class ExpectModel(_Model):
    """How the job must end. Default: job_completed with exit code 0."""

    reason: f.ExpectedReasons | None = None
    """The expected reason, a list of accepted reasons, or `any`."""
    exit_code: f.ExitCodes | None = None
    """The expected exit code of the command, a list of accepted codes, or `nonzero`."""
    restarts: f.CountRange | None = None
    """How often the cluster starts the job again: 0, '>=1', '1..3'."""
    run_time: f.DurationRange | None = None
    """Time from the first start to the end: '<10m', '1m..5m'."""
    heartbeats: f.CountRange | None = None
    """Number of heartbeats. An expected heartbeat_timeout implies '>=1'; '>=0' removes that requirement."""
    log: LogModel | None = None
    """Text that must or must not be in the logs."""
    metrics: dict[f.MetricName, MetricModel | None] | None = None
    """Numbers that the job prints, by name, with their bounds."""


class ClassifyModel(_Model):
    """A rule that reads the end of a job from its output. It has exactly one of log, exit_code and status."""

    log: f.RuleRegex | None = None
    """Regular expression with named groups among reason, exit_code and restarts. The last match is used."""
    exit_code: f.ExitCode | None = None
    """The exit code for which `reason` is the reason."""
    status: f.Regex | None = None
    """Regular expression for the scheduler's state or text for which `reason` is the reason."""
    reason: f.ReasonName | None = None
    """The reason if the exit code or the status matches."""
    required: f.Flag | None = None
    """For a log rule: the end is unknown if a rank prints no matching line."""

    @model_validator(mode="after")
    def _consistent(self) -> ClassifyModel:
        given = self.model_fields_set & {"log", "exit_code", "status"}
        if len(given) != 1:
            r.fail("a classify rule has exactly one of log, exit_code and status")
        if self.log is not None:
            groups = set(compiled(self.log).groupindex)
            if self.reason is not None:
                r.fail("a log rule reads the reason from its group (?P<reason>...): map words with translate")
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
    """Part of a job: keys of defaults, recipes, nodes, axis values, conditions, overrides and includes."""

    run: f.Script | None = None
    """Script for `bash -eo pipefail` (or `sh -e`), run on every node. Removes the args of lower layers."""
    shell: Annotated[str, *f.choice("bash", "sh")] | None = None
    """The script's shell. Default: bash; sh is for images without bash."""
    setup: f.Script | None = None
    """Script that runs before `run`, in the same shell, on each start. Its failure is start_failed."""
    args: f.Args | None = None
    """Positional parameters of `run`: text is split as in a shell, a list is not. Layers append."""
    env: dict[f.EnvName, f.EnvValue | None] | None = None
    """Environment variables. Values are used as written; null removes a variable."""
    secrets: f.Secrets | None = None
    """Names of your environment variables that the job gets. Their values are hidden in all output."""
    workdir: f.Line | None = None
    """Folder in which the script runs."""
    image: f.Line | None = None
    """Container image, for clusters that run containers."""
    resources: ResourcesModel | None = None
    """Resources per node."""
    heartbeat_timeout: f.Duration | None = None
    """Ends the job if $CLUSTERJOBS_HEARTBEAT_FILE is not touched for this time. Default: off."""
    max_runtime: f.Duration | None = None
    """Limit for each start, setup included. Default: 2h."""
    queue_timeout: f.Duration | None = None
    """Limit for the wait before the start. Default: 12h."""
    grace_period: f.Duration | None = None
    """Time between TERM and KILL. Default: 10s."""
    max_restarts: Annotated[int, *f.whole(0, 100)] | None = None
    """How often the cluster may start the job again in one attempt. Default: 0."""
    infra_retries: Annotated[int, *f.whole(0, 20)] | None = None
    """How many new attempts may follow an infrastructure failure. Default: 0."""
    expect: ExpectModel | None = None
    """How the job must end."""
    classify: list[ClassifyModel] | None = None
    """Rules that read the end of the job from its output. The first rule that has a value is used."""
    translate: dict[f.Text, f.ReasonName | None] | None = None
    """Words that a log rule reads, with their reasons: {cluster_stop: cancelled}."""
    reasons: dict[f.NewReason, f.ReasonClassName | None] | None = None
    """Additional reasons with their classes: product, user or infra."""
    marks: f.MarkCalls | None = None
    """pytest marks: [nightly, {skip: why}, {timeout: 30}]. Layers append."""
    fixtures: f.FixtureNames | None = None
    """pytest fixtures that the test uses. Layers append."""
    owner: f.Line | None = None
    """The owner, for reports."""
    description: f.Text | None = None
    """The purpose, for reports."""
    only: f.WhereClause | None = None
    """Restricts this to axes and values: {nodes: [1, 2]}. `backend` skips cells; axes remove them."""
    options: dict[f.Text, dict[f.Text, f.AnyValue] | None] | None = None
    """Options of a backend, by its type or NAME: {slurm: {partition: big}}."""


_Entry = Fragment | None
_Recipe = Annotated[_Entry, *f.short("run")]


class Override(Fragment):
    """A fragment for the cells that `where` selects."""

    where: f.WhereClause
    """Axes and values: {nodes: 4, condition: [a, b]}. A cell must match all of them."""


class Include(Fragment):
    """An additional cell: a value of every axis, and a fragment."""

    model_config = ConfigDict(extra="allow")
    __pydantic_extra__: dict[str, Annotated[Any, WithJsonSchema({"type": ["string", "number", "boolean"]})]]

    recipe: f.Name
    """The cell's recipe."""
    nodes: f.NodeCount
    """The cell's node count, which `nodes` need not have."""
    condition: f.Name | None = None
    """The cell's condition."""


_Recipes = Annotated[dict[f.RecipeName, _Recipe], *f.names(f.NAME)]
_Nodes = Annotated[dict[f.NodeCount, _Entry], *f.names(f.NODE_COUNT)]
_AxisValues = Annotated[dict[f.AxisValue, _Entry], *f.names(f.SCALAR)]


class RecipesFile(_Model):
    """The content of a file that ``recipes_from`` names, under the key ``recipes``."""

    recipes: _Recipes


class Document(_Model):
    """A matrix for pytest-clusterjobs: each combination of recipe, node count and condition is a test."""

    backend: f.Line | None = None
    """The NAME of the backend. Default: local. --cluster-backend overrides it."""
    defaults: Fragment | None = None
    """The fragment that all other layers override."""
    recipes: _Recipes | None = None
    """Recipes by name: a command or a fragment each, or a list of names if defaults have `run`."""
    recipe_files: f.Lines | None = None
    """Globs relative to this file. Each file is a recipe; its path is in $CLUSTERJOBS_RECIPE_FILE."""
    recipes_from: f.Lines | None = None
    """JSON or YAML files, relative to this one, with the content of `recipes`."""
    nodes: _Nodes | None = None
    """Node counts, as a list or with a fragment each. Default: 1."""
    axes: dict[f.EnvName, _AxisValues] | None = None
    """Additional axes: environment variables with their values, as a list or with a fragment each."""
    conditions: Annotated[dict[f.Name, _Entry], f.NotEmpty()] | None = None
    """Exit conditions by name, a fragment each. Default: normal_completion only."""
    exclude: list[f.WhereClause] | None = None
    """Combinations to remove: axes and values."""
    include: list[Include] | None = None
    """Additional cells."""
    overrides: list[Override] | None = None
    """Fragments for the cells that their `where` selects, applied in order."""
    classify: list[ClassifyModel] | None = None
    """Rules that read the end of a job from its output, for all cells."""
    translate: dict[f.Text, f.ReasonName | None] | None = None
    """Words that log rules read, with their reasons, for all cells."""
    reasons: dict[f.NewReason, f.ReasonClassName] | None = None
    """Additional reasons with their classes, for all cells."""
