"""JSON texts that workers send: an object, of bounded size, canonical again. Pure."""

from lepton_core.errors import invalid
from lepton_core.validation import canonical_json, read_document


def check_object(text: str, field: str) -> str:
    """Canonical text of a JSON object; empty is `{}`."""
    return canonical_json(read_document(text, field)) if text else "{}"


def check_numbers(text: str, field: str) -> str:
    """The same for an object whose values are finite numbers."""
    values = read_document(text, field) if text else {}
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise invalid(f"{field}.{name}", "not a finite number", value, "a finite number")
    return canonical_json(values)
