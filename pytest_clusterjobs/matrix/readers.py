"""The meaning of a matrix's scalars and small shapes: source text to typed values, or a message with the fix.

These functions run inside of pydantic; they reject a value with ``fail``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from typing import Any
from typing import NoReturn
from typing import TypeVar

from pydantic_core import PydanticCustomError

from ..model.text import quoted
from . import values
from .nodes import Map
from .nodes import Scalar
from .nodes import Seq
from .suggestions import in_quotes

T = TypeVar("T")

NAME_PATTERN = r"^[A-Za-z0-9._+-]{1,100}$"
ENV_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
IDENTIFIER_PATTERN = r"^[A-Za-z_][A-Za-z0-9_]*$"
MAX_TEXT_CHARACTERS = 100_000


def fail(message: str, at: Any = None) -> NoReturn:
    """End a validation; ``at`` is the value to point at, the validated one if ``None``."""
    raise PydanticCustomError("matrix", "{message}", {"message": message, "at": at})


def source_text(value: Any) -> str:
    """A scalar's text as in the file: ``3.10``, ``on``, ``08``."""
    if not isinstance(value, Scalar):
        fail(f"expected one value, not {_shape(value)}")
    _no_controls(value)
    return str(value)


def text(value: Any) -> str:
    """A scalar that YAML also reads as text."""
    if isinstance(value, Scalar) and value.kind != "str":
        fail(
            f"YAML reads {value[:60]} as {value.reading}, but text is expected here: write {in_quotes(value[:60])}"
        )
    return source_text(value)


def line(value: Any) -> str:
    """Text without a line break."""
    result = text(value)
    if "\n" in result or not result.strip():
        fail("expected one line of text" if result.strip() else "the text is empty")
    return result


def script(value: Any) -> str:
    """A shell script."""
    result = text(value)
    if not result.strip():
        fail("the script is empty: write `:` for a command that does nothing")
    no_template(result)
    return result


def name(value: Any) -> str:
    """A name that becomes part of a test id."""
    return _in_an_id(text(value))


def recipe_name(value: Any) -> str:
    """A recipe's name."""
    result = text(value)
    files = "; recipes that are files are named by their paths: recipe_files: GLOB" if "/" in result else ""
    return _in_an_id(result, files)


def _in_an_id(result: str, hint: str = "") -> str:
    if not re.fullmatch(NAME_PATTERN, result):
        fail(
            f"{quoted(result)} cannot be part of a test id; use letters, digits and . _ + - (at most 100){hint}"
        )
    return result


def axis_value(value: Any) -> str:
    """A value of an axis, as its source text."""
    if value is None:
        fail("an axis value must be text: for the text null write 'null'")
    return _in_an_id(source_text(value))


def env_name(value: Any) -> str:
    """The name of an environment variable that a matrix may set."""
    result = source_text(value)
    if not re.fullmatch(ENV_PATTERN, result) or len(result) > 200:
        fail(f"{quoted(result)} is not a valid name of an environment variable: use letters, digits and _")
    if result.startswith("CLUSTERJOBS_"):
        fail("names that begin with CLUSTERJOBS_ are reserved")
    return result


def secret_name(value: Any) -> str:
    """The name of a variable of the caller's environment."""
    text(value)
    return env_name(value)


def env_value(value: Any) -> str:
    """The value of an environment variable, as its source text."""
    result = source_text(value)
    no_template(result)
    no_expansion(result, "an env value")
    return result


def no_template(content: str, at: Any = None) -> None:
    """Reject text that looks like a template language, which a matrix does not have."""
    if "{{" in content:
        found = "${{" if "${{" in content else "{{"
        fail(
            f"`{found}` is not expanded: a matrix has no template language; use shell variables such as $CLUSTERJOBS_NUM_NODES in run",
            at,
        )


def no_expansion(content: str, what: str, at: Any = None) -> None:
    """Reject a ``$NAME`` that nothing expands."""
    match = re.search(r"\$(?:[A-Za-z_][A-Za-z0-9_]*|\{|\()", content)
    if match:
        fail(f"`{match[0]}` in {what} is not expanded: write it in run, where the shell expands it", at)


def whole(low: int, high: int) -> Callable[[Any], int]:
    """A reader of whole numbers."""

    def read(value: Any) -> int:
        if not isinstance(value, Scalar) or value.kind != "int":
            fail(f"expected a whole number, not {value_text(value)}")
        number = int(value) if len(value) < 20 else 10**20
        if not low <= number <= high:
            fail(f"expected a whole number from {low} to {high}, not {value[:25]}")
        return number

    return read


def number(value: Any) -> float:
    """A finite number."""
    if not isinstance(value, Scalar) or value.node.style not in (None, ""):
        fail(f"expected a number, not {value_text(value)}")
    return reading(values.parse_number)(value)


def reading(parse: Callable[[str], T]) -> Callable[[Any], T]:
    """A reader of one of the notations in ``values``."""

    def read(value: Any) -> T:
        try:
            return parse(source_text(value))
        except ValueError as error:
            fail(str(error))

    return read


def flag(value: Any) -> bool:
    """``true`` or ``false``."""
    if not isinstance(value, Scalar) or value.kind != "bool":
        fail(f"expected true or false, not {value_text(value)}")
    return value.lower() == "true"


def split_args(value: Any) -> tuple[str, ...]:
    """Arguments: text is split as a shell would, a list is taken as it is."""
    if isinstance(value, Seq):
        return tuple(_argument(each, each if each is not None else value) for each in value)
    try:
        arguments = _split(source_text(value))
    except ValueError as error:
        fail(f"cannot be split into arguments: {error}")
    return tuple(_literal_argument(argument, value) for argument in arguments)


def _argument(value: Any, at: Any) -> str:
    if not isinstance(value, Scalar):
        fail(f"an argument must be one value, not {_shape(value)}", at=at)
    return _literal_argument(source_text(value), at)


def _literal_argument(argument: str, at: Any) -> str:
    no_template(argument, at)
    no_expansion(argument, "args", at)
    return argument


def _split(line: str) -> list[str]:
    """Split as in a shell. ``str.split`` is used if nothing is quoted, since shlex is slow."""
    return shlex.split(line) if any(char in line for char in "'\"\\") else line.split()


def as_list(value: Any) -> Any:
    """One value in place of a list."""
    return [value] if isinstance(value, (Scalar, Map)) else value


def long_form(value: Any, key: str) -> Any:
    """A lone scalar as the mapping that it abbreviates."""
    return {key: value} if isinstance(value, Scalar) else value


def names_to_map(value: Any) -> Any:
    """A list of names in place of a mapping: each with an empty fragment."""
    if not isinstance(value, list):
        return value
    result: dict[Any, None] = {}
    for each in value:
        if not isinstance(each, Scalar):
            fail(f"expected one value, not {_shape(each)}", at=value if each is None else each)
        if each in result:
            fail(f"{quoted(each)} is in the list twice", at=each)
        result[each] = None
    return result


def not_empty(value: Any) -> Any:
    """Reject an empty list or mapping."""
    if isinstance(value, (list, dict)) and not value:
        fail("at least one entry is required")
    return value


def identifier(what: str) -> Callable[[Any], str]:
    """A reader of the name of a fixture or a metric."""

    def read(value: Any) -> str:
        result = text(value)
        if not re.fullmatch(IDENTIFIER_PATTERN, result):
            fail(f"{quoted(result)} is not a valid name of a {what}: use letters, digits and _")
        return result

    return read


def choice(*texts: str) -> Callable[[Any], str]:
    """A reader of one of ``texts``."""

    def read(value: Any) -> str:
        result = text(value)
        if result not in texts:
            fail(f"expected one of {', '.join(texts)}, not {quoted(result)}")
        return result

    return read


def _shape(value: Any) -> str:
    if value is None:
        return "nothing"
    return "a mapping" if isinstance(value, dict) else "a list"


def value_text(value: Any) -> str:
    """A rejected value in a message; text that looks like a number is marked as text."""
    if not isinstance(value, Scalar):
        return _shape(value)
    return quoted(value) + (" (text)" if value.kind == "str" and value.replace(".", "").isdigit() else "")


def _no_controls(value: Scalar) -> None:
    if len(value) > MAX_TEXT_CHARACTERS:
        fail(f"the text is longer than {MAX_TEXT_CHARACTERS} characters", at=value)
    if value.isprintable():
        return
    for char in value:
        if (ord(char) < 32 and char not in "\n\t") or ord(char) == 127:
            fail(f"control character {char.encode('unicode_escape').decode()} in text", at=value)
