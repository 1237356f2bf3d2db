"""The types of a matrix's values: how each is read, and its JSON Schema."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated
from typing import Any
from typing import TypeVar

from pydantic import BeforeValidator
from pydantic import GetCoreSchemaHandler
from pydantic import GetJsonSchemaHandler
from pydantic import PlainValidator
from pydantic import WithJsonSchema
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema
from pydantic_core.core_schema import no_info_before_validator_function

from ..judge.patterns import MAX_PATTERN_CHARACTERS
from ..model import Mark
from ..model import notation
from ..model import Range
from ..model import ReasonClass
from . import pattern_readers
from . import readers as r
from . import reason_readers
from . import scalars
from . import values
from .where import parse_where
from .where import Where

T = TypeVar("T")
_Read = tuple[PlainValidator, WithJsonSchema]


class AnyOf:
    """In the JSON Schema: this shape, or one of the short forms."""

    def __init__(self, *short: JsonSchemaValue) -> None:
        self.short = short

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        return {"anyOf": [*self.short, handler(core)]}


class OneOrList:
    """A list, or one entry in its place."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(r.as_list, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core)
        entry = schema["items"]
        return {"anyOf": [*entry.get("anyOf", [entry]), schema]}


class NotEmpty:
    """At least one entry."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_before_validator_function(r.not_empty, handler(source))

    def __get_pydantic_json_schema__(
        self, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> JsonSchemaValue:
        schema = handler(core)
        return {**schema, "minItems" if schema.get("type") == "array" else "minProperties": 1}


def _read(read: Callable[[Any], T], schema: JsonSchemaValue) -> _Read:
    return PlainValidator(read), WithJsonSchema(schema)


def _parsed(parse: Callable[[str], T], pattern: str, *examples: str) -> _Read:
    return _read(r.reading(parse), {"type": "string", "pattern": pattern, "examples": list(examples)})


def _text(read: Callable[[Any], T], pattern: str) -> _Read:
    return _read(read, {"type": "string", "pattern": pattern})


def whole(low: int, high: int) -> _Read:
    """A whole number within bounds."""
    return _read(r.whole(low, high), {"type": "integer", "minimum": low, "maximum": high})


def choice(*choices: str) -> _Read:
    """One of a few texts."""
    return _read(r.choice(*choices), {"enum": list(choices)})


def names(*one: JsonSchemaValue) -> tuple[NotEmpty, BeforeValidator, AnyOf]:
    """A mapping, which a list of its keys may replace."""
    return (
        NotEmpty(),
        BeforeValidator(r.names_to_map),
        AnyOf(*({"type": "array", "minItems": 1, "items": each} for each in one)),
    )


def short(key: str) -> tuple[BeforeValidator, AnyOf]:
    """A mapping, which the text of one of its keys may replace."""
    return BeforeValidator(lambda value: r.long_form(value, key)), AnyOf({"type": "string", "pattern": r"\S"})


SCALAR: JsonSchemaValue = {"type": ["string", "number", "boolean"]}
TEXT: JsonSchemaValue = {"type": "string"}
NAME: JsonSchemaValue = {"type": "string", "pattern": r.NAME_PATTERN}
NODE_COUNT: JsonSchemaValue = {"type": "integer", "minimum": 1, "maximum": 100_000}
_CODE_OR_NONZERO: JsonSchemaValue = {
    "anyOf": [{"type": "integer", "minimum": 0, "maximum": 255}, {"const": "nonzero"}]
}
_REASON: JsonSchemaValue = {"type": "string", "pattern": reason_readers.REASON_PATTERN}
_LISTED: JsonSchemaValue = {"type": "array", "minItems": 1, "items": SCALAR}
_ENV_NAME: JsonSchemaValue = {"type": "string", "pattern": r"^(?!CLUSTERJOBS_)" + r.ENV_PATTERN[1:]}
_IDENTIFIER: JsonSchemaValue = {"type": "string", "pattern": r.IDENTIFIER_PATTERN}
_MARK_CALL: JsonSchemaValue = {
    "type": "object",
    "minProperties": 1,
    "maxProperties": 1,
    "propertyNames": {"pattern": r.IDENTIFIER_PATTERN},
}
_REGEX = {**TEXT, "minLength": 1, "maxLength": MAX_PATTERN_CHARACTERS}

Text = Annotated[str, *_read(r.text, TEXT)]
Line = Annotated[str, *_text(r.line, r"^[^\n]*\S[^\n]*$")]
Script = Annotated[str, *_text(r.script, r"\S")]
Name = Annotated[str, *_read(r.name, NAME)]
RecipeName = Annotated[str, *_read(r.recipe_name, NAME)]
AxisValue = Annotated[str, *_read(r.axis_value, SCALAR)]
EnvName = Annotated[str, *_read(r.env_name, _ENV_NAME)]
Secrets = Annotated[list[Annotated[str, *_read(r.secret_name, _ENV_NAME)]], OneOrList()]
EnvValue = Annotated[str, *_read(r.env_value, SCALAR)]
ReasonName = Annotated[str, *_read(reason_readers.reason_name, _REASON)]
NewReason = Annotated[str, *_read(reason_readers.new_reason, _REASON)]
FixtureNames = Annotated[list[Annotated[str, *_read(r.identifier("fixture"), _IDENTIFIER)]], OneOrList()]
MetricName = Annotated[str, *_text(r.identifier("metric"), r.IDENTIFIER_PATTERN)]
Number = Annotated[float, *_read(r.number, {"type": "number"})]
NodeCount = Annotated[int, *_read(r.whole(1, 100_000), NODE_COUNT)]
Duration = Annotated[
    float, *_parsed(notation.parse_duration, notation.DURATION_PATTERN, "90s", "20m", "1h30m")
]
Size = Annotated[int, *_parsed(notation.parse_size, notation.SIZE_PATTERN, "64GiB", "512MB")]
DurationRange = Annotated[
    Range, *_parsed(values.parse_duration_range, values.DURATION_RANGE_PATTERN, "<10m", "1m..5m")
]
CountRange = Annotated[
    Range,
    *_read(
        r.reading(values.parse_count_range),
        {
            "type": ["string", "integer"],
            "pattern": values.COUNT_RANGE_PATTERN,
            "minimum": 0,
            "examples": [">=1", "2..5", 3],
        },
    ),
]
Tolerance = Annotated[
    tuple[float | None, float | None],
    *_parsed(values.parse_tolerance, values.TOLERANCE_PATTERN, "5%", "-5%", "-5%..+20%"),
]
Regex = Annotated[str, *_read(pattern_readers.regex, {**_REGEX, "format": "regex"})]
RuleRegex = Annotated[str, *_read(pattern_readers.rule_regex, {**_REGEX, "format": "regex"})]
MetricRegex = Annotated[
    str,
    *_read(
        pattern_readers.metric_regex, {**_REGEX, "pattern": r"\(|\{number\}", "examples": ["loss={number}"]}
    ),
]
Flag = Annotated[bool, *_read(r.flag, {"type": "boolean"})]
ReasonClassName = Annotated[
    ReasonClass, *_read(reason_readers.reason_class, {"enum": [str(each) for each in ReasonClass]})
]
ExitCode = Annotated[int, *whole(0, 255)]
ExitCodes = Annotated[
    list[Annotated[int | str, *_read(reason_readers.exit_code_or_nonzero, _CODE_OR_NONZERO)]],
    NotEmpty(),
    OneOrList(),
]
Args = Annotated[
    tuple[str, ...], *_read(r.split_args, {"anyOf": [SCALAR, {"type": "array", "items": SCALAR}]})
]
MarkCalls = Annotated[
    list[Annotated[Mark, *_read(scalars.mark, {"anyOf": [_IDENTIFIER, _MARK_CALL]})]],
    OneOrList(),
]
AnyValue = Annotated[Any, *_read(scalars.python_value, {})]
_SOME_TEXT: JsonSchemaValue = {**TEXT, "pattern": r"\S"}
Texts = Annotated[
    list[Annotated[str, *_read(pattern_readers.nonblank_text, _SOME_TEXT)]], NotEmpty(), OneOrList()
]
Lines = Annotated[list[Line], NotEmpty(), OneOrList()]
Regexes = Annotated[
    list[Annotated[str, *_read(pattern_readers.log_regex, {**_REGEX, "format": "regex"})]],
    NotEmpty(),
    OneOrList(),
]
ExpectedReasons = Annotated[
    list[ReasonName], BeforeValidator(reason_readers.expected_reasons), NotEmpty(), OneOrList()
]
WhereClause = Annotated[
    Where,
    *_read(
        parse_where,
        {"type": "object", "minProperties": 1, "additionalProperties": {"anyOf": [SCALAR, _LISTED]}},
    ),
]
