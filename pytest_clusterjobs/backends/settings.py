"""Site settings as pydantic models, and the faults of a table of them as messages."""

from __future__ import annotations

import json
from collections.abc import Collection
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from typing import get_args

from pydantic import BaseModel
from pydantic import ConfigDict
from pydantic import GetCoreSchemaHandler
from pydantic import ValidationError
from pydantic_core import CoreSchema
from pydantic_core import ErrorDetails
from pydantic_core import PydanticCustomError
from pydantic_core.core_schema import no_info_wrap_validator_function

from ..model.text import did_you_mean

MAX_VALUE_CHARACTERS = 60
"""The most characters of a value that a message quotes."""


class SiteSettings(BaseModel):
    """The settings of one backend: the keys of ``[tool.clusterjobs.backends.NAME]`` without ``type``.

    A type's settings are a subclass. Values are not converted (``"5"`` is not a number), except that text
    becomes a path, an enum or a date where the field has such a type.
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )

    @classmethod
    def keys(cls) -> Collection[str]:
        """The keys that a table may have."""
        return [field.alias or name for name, field in cls.model_fields.items()]


@dataclass(frozen=True, slots=True)
class MustBe:
    """What a setting must be, for messages: ``Annotated[float, Field(ge=0), MustBe("seconds")]``.

    It comes last in ``Annotated``. The message is ``KEY must be DESCRIPTION, not VALUE``.
    """

    description: str
    is_secret: bool = False
    """Whether messages leave out the value."""

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return no_info_wrap_validator_function(self._validate, handler(source))

    def _validate(self, value: Any, handler: Any) -> Any:
        try:
            return handler(value)
        except ValidationError as error:
            if all(_is_below(value, each) for each in error.errors()):
                # The faults of a table's keys have messages of their own.
                raise
            context = {"description": self.description, "is_secret": self.is_secret}
            raise PydanticCustomError(_MUST_BE, "must be {description}", context) from None


_MUST_BE = "must_be"


def _is_below(value: Any, error: ErrorDetails) -> bool:
    """Whether an error concerns a key of a table or an element of a list, and not the whole of it."""
    location = error["loc"]
    if isinstance(value, dict):
        # The location may begin with the member of a union.
        return any(part in value for part in location) or (bool(location) and error["type"] == "missing")
    return isinstance(value, list) and any(isinstance(part, int) for part in location)


@dataclass(frozen=True, slots=True)
class SettingFault:
    """A mistake in a table of settings."""

    path: tuple[str | int, ...]
    """The keys of the wrong value below the table; empty if the fault concerns several."""
    message: str


class FaultySettings(ValueError):
    """A table of settings is invalid; the message has a line for each fault."""

    def __init__(self, faults: Sequence[SettingFault]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(each.message for each in faults))


def validate(model: Any, table: Mapping[str, Any]) -> SiteSettings:
    """The settings in a table, by a subclass of SiteSettings, or ``None`` for a type without settings.

    Raises FaultySettings.
    """
    if model is None:
        model = SiteSettings
    elif not (isinstance(model, type) and issubclass(model, SiteSettings)):
        wanted = "a subclass of pytest_clusterjobs.backends.SiteSettings"
        raise FaultySettings(
            [SettingFault((), f"settings of the BackendType must be {wanted}, not {model!r:.60}")]
        )
    try:
        # Read as JSON, pydantic's strict mode converts text to paths and enums, and nothing else.
        text = json.dumps(table, default=str)
        settings: SiteSettings = model.model_validate_json(text)
        return settings
    except ValidationError as error:
        faults = list(dict.fromkeys(_faults(model, json.loads(text), error)))
    except Exception as error:
        faults = [SettingFault((), f"the check of the settings fails with {type(error).__name__}: {error}")]
    # Outside of the handler: pydantic's error would show values in tracebacks, secrets among them.
    raise FaultySettings(faults)


def _faults(
    model: type[SiteSettings], table: Mapping[str, Any], error: ValidationError
) -> Iterator[SettingFault]:
    for each in error.errors(include_url=False):
        path = _path(table, each)
        yield SettingFault(path, _message(model, table, path, each))


def _path(table: Mapping[str, Any], error: ErrorDetails) -> tuple[str | int, ...]:
    """The keys of a fault. pydantic's location also names members of unions and the like."""
    path: list[str | int] = []
    here: Any = table
    for part in error["loc"]:
        if isinstance(here, Mapping) and part in here:
            here = here[str(part)]
            path.append(part)
        elif isinstance(here, list | tuple) and isinstance(part, int):
            here = here[part]
            path.append(part)
    return (*path, error["loc"][-1]) if error["type"] == "missing" else tuple(path)


def _message(
    model: type[SiteSettings], table: Mapping[str, Any], path: tuple[str | int, ...], error: ErrorDetails
) -> str:
    key, kind, context = ".".join(map(str, path)), error["type"], error.get("ctx", {})
    if kind == "json_invalid":
        return "there is text that is not valid Unicode"
    if kind == "extra_forbidden":
        known = sorted(_model_at(model, path[:-1]).keys())
        hint = did_you_mean(str(path[-1]), known) if known else ": there are none"
        return f"unknown setting {key[:MAX_VALUE_CHARACTERS]!r}{hint}"
    if kind == "missing":
        field = _model_at(model, path[:-1]).model_fields.get(str(path[-1]))
        wanted = [each.description for each in field.metadata if isinstance(each, MustBe)] if field else []
        return f"{key} is not set" + "".join(f": it must be {each}" for each in wanted)
    if kind == _MUST_BE:
        text = f"must be {context['description']}"
        return f"{key} {text}" if context["is_secret"] else f"{key} {text}, not {_quoted(table, path)}"
    if kind in _WANTED:
        return f"{key} must be {_WANTED[kind].format(**context)}, not {_quoted(table, path)}"
    # ``value_error`` and ``assertion_error`` have the exception of a backend's own validator.
    text = str(context["error"]) if "error" in context else error["msg"]
    if not key:
        return text
    return f"{key} {text}" if text.startswith(("must ", "is ", "has ", "needs ")) else f"{key}: {text}"


_WANTED = {
    "string_type": "text",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "dict_type": "a table",
    "model_type": "a table",
    "model_attributes_type": "a table",
    "mapping_type": "a table",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "above {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "below {lt}",
    "less_than_equal": "at most {le}",
    "string_pattern_mismatch": "text that matches {pattern}",
}
"""What a value must be, by pydantic's name of the error."""


def _model_at(model: type[SiteSettings], path: Sequence[str | int]) -> type[SiteSettings]:
    """The model of the table at ``path``."""
    for key in path:
        field = model.model_fields.get(str(key))
        kinds = () if field is None else (field.annotation, *get_args(field.annotation))
        model = next((k for k in kinds if isinstance(k, type) and issubclass(k, SiteSettings)), model)
    return model


def _quoted(table: Mapping[str, Any], path: Sequence[str | int]) -> str:
    here: Any = table
    for key in path:
        here = here[key]
    text = repr(here)
    return text if len(text) <= MAX_VALUE_CHARACTERS else f"{text[:MAX_VALUE_CHARACTERS]}..."
