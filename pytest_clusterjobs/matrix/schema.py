"""The JSON Schema of a matrix, for editors: generated from the model, shipped as ``schema.json``.

``python -m pytest_clusterjobs.matrix.schema`` rewrites the shipped file.
"""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

from . import model

SCHEMA_FILE = Path(__file__).with_name("schema.json")


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a matrix (draft 2020-12)."""
    schema = model.Document.model_json_schema()
    descriptions = _descriptions()
    for name, each in [("Document", schema), *schema["$defs"].items()]:
        for key, property_schema in each["properties"].items():
            property_schema["description"] = _inherited(name, key, descriptions)
    _tidy(schema)
    schema["patternProperties"] = {"^x-": {"description": "Free, for YAML anchors."}}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "pytest-clusterjobs matrix",
        **schema,
    }


def schema_json() -> str:
    """The JSON Schema as text, as shipped in ``schema.json``."""
    return json.dumps(json_schema(), indent=1, ensure_ascii=False) + "\n"


def _descriptions() -> dict[str, dict[str, str]]:
    """The text under each field, by class and field.

    pydantic could collect these too, but would do so at every import.
    """
    tree = ast.parse(Path(model.__file__).read_text(encoding="utf-8"))
    return {node.name: dict(_documented(node)) for node in tree.body if isinstance(node, ast.ClassDef)}


def _documented(node: ast.ClassDef) -> list[tuple[str, str]]:
    return [
        (field.target.id, str(text.value.value))
        for field, text in zip(node.body, node.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign)
        and isinstance(field.target, ast.Name)
        and isinstance(text, ast.Expr)
        and isinstance(text.value, ast.Constant)
    ]


def _inherited(name: str, key: str, descriptions: dict[str, dict[str, str]]) -> str:
    classes = getattr(model, name).__mro__
    return next(found[key] for each in classes if key in (found := descriptions.get(each.__name__, {})))


def _tidy(node: Any) -> None:
    """Remove pydantic's additions that no editor needs, and close mappings whose keys have a pattern."""
    if isinstance(node, dict):
        if "patternProperties" in node:
            node.setdefault("additionalProperties", False)
        if isinstance(node.get("title"), str):
            del node["title"]
        if "default" in node and node["default"] is None:
            del node["default"]
        for each in node.values():
            _tidy(each)
    elif isinstance(node, list):
        for each in node:
            _tidy(each)


if __name__ == "__main__":
    SCHEMA_FILE.write_text(schema_json(), encoding="utf-8")
