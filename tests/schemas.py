"""The published JSON Schemas, held against what the product says.

The schemas are open, for a new field does not break its readers. Here they are closed, so that a field that no schema
tells of fails a test.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry, Resource

SCHEMAS = Path(__file__).parents[1] / "docs" / "schemas"


def conforms(document: object, name: str) -> None:
    """The document is one of `docs/schemas/<name>.schema.json`, and has no field beside it."""
    problems = sorted(_validator(name).iter_errors(document), key=lambda e: list(map(str, e.absolute_path)))
    assert not problems, "\n".join(f"{problem.json_path}: {problem.message}" for problem in problems[:10])


@cache
def _validator(name: str) -> Draft202012Validator:
    files = {path.name: json.loads(path.read_text()) for path in SCHEMAS.glob("*.schema.json")}
    for schema in files.values():
        Draft202012Validator.check_schema(schema)
    registry: Registry[Any] = Registry().with_resources(
        (file, Resource.from_contents(_closed(schema))) for file, schema in files.items()
    )
    root = {"$schema": Draft202012Validator.META_SCHEMA["$id"], "$ref": f"{name}.schema.json"}
    return Draft202012Validator(root, registry=registry, format_checker=FormatChecker())


def _closed(schema: Any, *, shut: bool = True) -> Any:
    """The schema with no field let through that it does not name; a part that others take in stays open by itself."""
    if isinstance(schema, list):
        return [_closed(part, shut=shut) for part in schema]
    if not isinstance(schema, dict):
        return schema
    closed = {key: value if key in {"enum", "required"} else _part(key, value) for key, value in schema.items()}
    if shut and ("properties" in schema or "$ref" in schema) and "oneOf" not in schema:
        closed["unevaluatedProperties"] = False
    return closed


def _part(key: str, value: Any) -> Any:
    if key == "properties":
        return {name: _closed(part) for name, part in value.items()}
    if key == "$defs":
        return {name: _closed(part, shut=False) for name, part in value.items()}
    return _closed(value, shut=key != "allOf")
