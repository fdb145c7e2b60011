"""Checks a recipe's JSON Schema for allowed keywords.

The gateway validates jobs against schemas that workers have announced. A malicious worker must not be able to make it
fetch a URL or run a regular expression that takes for ever. jsonschema-rs, which validates the jobs, has no list of
allowed keywords.
"""

from typing import Any

from lepton_core.api.limits import MAX_RECIPE_SCHEMA_BYTES
from lepton_core.errors import LeptonError, invalid
from lepton_core.ids import digest_of
from lepton_core.validation import read_document

_REFUSED = ("pattern", "patternProperties")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef", "$schema")
# The names in these objects are property names, not keywords.
_NAMED = ("properties", "$defs", "definitions", "dependentSchemas")


def check_schema(text: str, field: str) -> str:
    """The digest of an allowed schema. Raises INVALID for others."""
    _check(read_document(text, field, max_bytes=MAX_RECIPE_SCHEMA_BYTES), field)
    return digest_of(text.encode())


def _check(schema: Any, field: str) -> None:
    if isinstance(schema, list):
        for part in schema:
            _check(part, field)
    if not isinstance(schema, dict):
        return
    for name, part in schema.items():
        if name in _REFUSED:
            raise _refused(field, f"holds the keyword {name!r}")
        if name in _REFERENCES and isinstance(part, str) and name != "$schema" and not part.startswith("#"):
            raise _refused(field, f"refers to {part[:80]!r}")
        if name in _NAMED and isinstance(part, dict):
            for inner in part.values():
                _check(inner, field)
        elif name not in ("enum", "const", "default", "examples"):
            _check(part, field)


def _refused(field: str, what: str) -> LeptonError:
    return invalid(field, what, None, "a schema without 'pattern', and with references only to itself ('#/…')")
