"""What a recipe's JSON Schema may hold. Pure.

The gateway validates every job against schemas that workers announced: a rogue worker must not be able to make it
fetch a URL or run a regular expression that never ends.
"""

import json
from typing import Any

from lepton_core.api.limits import MAX_RECIPE_SCHEMA_BYTES
from lepton_core.errors import LeptonError, invalid
from lepton_core.ids import digest_of

_REFUSED = ("pattern", "patternProperties")
_REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef", "$schema")
# Under these keys the names are the user's own, not keywords.
_NAMED = ("properties", "$defs", "definitions", "dependentSchemas")


def check_schema(text: str, field: str) -> str:
    """The digest of a schema that may enter the catalogue; INVALID otherwise."""
    encoded = text.encode()
    if len(encoded) > MAX_RECIPE_SCHEMA_BYTES:
        raise invalid(field, "too large", len(encoded), f"at most {MAX_RECIPE_SCHEMA_BYTES} bytes")
    try:
        schema = json.loads(text)
        if not isinstance(schema, dict):
            raise invalid(field, "not a JSON object", text[:80], "a JSON Schema of an object")
        _check(schema, field)
    except (ValueError, RecursionError):
        raise invalid(field, "not JSON text", text[:80], "a JSON Schema of an object") from None
    return digest_of(encoded)


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
    return invalid(field, what, None, "a schema without 'pattern' and with references to itself only ('#/…')")
