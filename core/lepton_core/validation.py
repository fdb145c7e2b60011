"""Pydantic's complaints as our own errors: the field's path, the bad value, what is allowed, and near matches."""

import difflib
import json
import math
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from lepton_core.errors import ErrorCode, FieldError, LeptonError, Location, field_error, invalid, shown
from lepton_core.ids import LABEL_PATTERN, LABEL_RULE

Model = TypeVar("Model", bound=BaseModel)

MAX_FIELD_ERRORS = 50
# Pydantic gives all errors or none: a list of millions takes many seconds.
MAX_LISTED_ERRORS = 10_000
# Of a JSON document. What reads or writes one deeper than a few hundred levels fails in ways of its own.
MAX_JSON_DEPTH = 64
# Of one document that is stored: a card, an evaluation, the statistics of a dataset.
MAX_DOCUMENT_BYTES = 4 * 1024 * 1024
# Python itself refuses to write integers of some thousands of digits.
MAX_NUMBER_CHARS = 400
_CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

# Words for the limits that pydantic puts into an error's context.
_LIMITS = {
    "ge": "at least {}",
    "gt": "greater than {}",
    "le": "at most {}",
    "lt": "less than {}",
    "min_length": "length at least {}",
    "max_length": "length at most {}",
    "expected": "{}",
    "expected_tokens": "{}",
    "pattern": "text that matches {}",
    "multiple_of": "a multiple of {}",
}
_TYPES = {
    "int_type": "a whole number",
    "int_parsing": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
}
# Pydantic says "a valid dictionary or instance of" and the name of a class.
_STRUCTURES = {
    "dict_type": "an object",
    "list_type": "a list",
    "model_type": "an object",
    "model_attributes_type": "an object",
}


def parse(model: type[Model], data: object, *, prefix: Sequence[str | int] = ()) -> Model:
    """Validates `data` (a mapping, or JSON as bytes or text); raises INVALID naming each wrong field."""
    try:
        if isinstance(data, bytes | bytearray | str):
            return model.model_validate_json(data)
        return model.model_validate(data)
    except ValidationError as error:
        if error.error_count() > MAX_LISTED_ERRORS:
            message = f"{error.error_count()} fields are unknown or wrong"
            raise invalid(tuple(prefix), message, allowed=", ".join(_names(model))) from None
        raise invalid_from(error.errors(include_url=False), model, prefix=prefix) from None


def invalid_from(
    errors: Iterable[Mapping[str, Any]], model: type[BaseModel] | None = None, *, prefix: Sequence[str | int] = ()
) -> LeptonError:
    """One INVALID error from the list that `ValidationError.errors()` gives."""
    fields = [_field_error(error, model, prefix) for error in list(errors)[:MAX_FIELD_ERRORS]]
    return LeptonError(ErrorCode.INVALID, summary(fields), fields)


def summary(fields: Sequence[FieldError]) -> str:
    """The first wrong field in a sentence, and how many more there are."""
    if not fields:
        return "the request is not valid"
    first = fields[0]
    text = f"{first.field}: {first.message}" if first.field else first.message
    if first.value:
        text += f" (got {first.value})"
    if first.allowed and first.allowed not in text:
        text += f"; allowed: {first.allowed}"
    return text if len(fields) == 1 else f"{text}; and {len(fields) - 1} more"


def near_matches(name: str, names: Iterable[str], *, most: int = 3, cutoff: float = 0.6) -> list[str]:
    """At most `most` of `names` that are spelt like `name`, nearest first; case does not matter."""
    spellings: dict[str, list[str]] = {}
    for each in names:
        spellings.setdefault(each.lower(), []).append(each)
    near = difflib.get_close_matches(name[:128].lower(), spellings, n=most, cutoff=cutoff)
    return [each for match in near for each in spellings[match]][:most]


def listed(names: Sequence[str], *, most: int = 30) -> str:
    """The names in one line, and how many more there are: a run may have 10,000 metrics."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more


def unknown_name(field: str | Location, name: str, known: Iterable[str], kind: str = "field") -> FieldError:
    """An unknown name of a field (or another `kind` of thing), with what it may have meant."""
    known = sorted(known)
    near = near_matches(name, known)
    hint = f", did you mean {' or '.join(repr(match) for match in near)}?" if near else ""
    return field_error(field, f"unknown {kind}{hint}", "", listed(known) or "none")


def _field_error(error: Mapping[str, Any], model: type[BaseModel] | None, prefix: Sequence[str | int]) -> FieldError:
    location = tuple(error["loc"])
    field = (*prefix, *location)
    kind, context = error["type"], error.get("ctx") or {}
    if kind == "extra_forbidden" and location:
        owner = _model_at(model, location[:-1])
        return unknown_name(field, str(location[-1]), _names(owner) if owner else ())
    allowed = [text.format(context[key]) for key, text in _LIMITS.items() if key in context]
    if not allowed and kind in _TYPES | _STRUCTURES:
        allowed = [(_TYPES | _STRUCTURES)[kind]]
    message = str(error["msg"])
    if context.get("pattern") == LABEL_PATTERN:
        message, allowed = "not a valid name", [LABEL_RULE]
    elif kind in _STRUCTURES:
        message = f"not {_STRUCTURES[kind]}"
        if within := _model_at(model, location):
            allowed = [f"{_STRUCTURES[kind]} with {listed(_names(within))}"]
    elif kind == "value_error":
        message = message.removeprefix("Value error, ")
    elif kind == "missing":
        message = "required"
    value = "" if kind in ("missing", "json_invalid") else shown(error.get("input"))
    return field_error(field, message, value, " and ".join(allowed))


def _names(model: type[BaseModel]) -> list[str]:
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_at(model: type[BaseModel] | None, location: Sequence[str | int]) -> type[BaseModel] | None:
    """The model whose field is wrong: follows a location through nested models, lists and mappings."""
    for part in location:
        if model is None:
            return None
        if isinstance(part, int):
            continue
        field = model.model_fields.get(part)
        if field is None:
            # A mapping's key, or the tag of a union: the model stays.
            continue
        model = _model_in(field.annotation)
    return model


def _model_in(annotation: object) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    origin = get_origin(annotation)
    if origin in (Union, types.UnionType, list, tuple, dict):
        for inner in get_args(annotation):
            found = _model_in(inner)
            if found:
                return found
    return None


def wrong_field(model: str, field: str, message: str, value: object) -> ValidationError:
    """For a model's own validators: a complaint about one field, which plain ValueErrors cannot name."""
    kind = PydanticCustomError("wrong_field", "{message}", {"message": message})
    return ValidationError.from_exception_data(model, [{"type": kind, "loc": (field,), "input": value}])


def read_json(data: bytes | str) -> Any:
    """The value of JSON from an untrusted sender.

    INVALID for bytes that are not JSON, NaN and infinity, a key that occurs twice, a number of extreme length, text
    that cannot be written in UTF-8, and nesting deeper than `MAX_JSON_DEPTH`.
    """
    try:
        value = _load(data)
    except ValueError as error:
        raise LeptonError(ErrorCode.INVALID, f"the body is not JSON: {error}") from None
    check_depth(value)
    canonical_json(value)
    return value


def read_document(data: bytes | str, field: str, *, max_bytes: int = MAX_DOCUMENT_BYTES) -> dict[str, Any]:
    """A JSON object that is to be stored, checked as by `read_json`; INVALID names `field`.

    What passes can be read, written and shown again by every reader: check with it before anything is stored.
    """
    size = len(data.encode(errors="surrogatepass") if isinstance(data, str) else data)
    if size > max_bytes:
        raise invalid(field, "too large", size, f"at most {max_bytes} bytes")
    got = data if isinstance(data, str) else None
    try:
        value = read_json(data)
    except LeptonError as error:
        raise invalid(field, error.detail.replace("the body is", "this is"), got, "a JSON object") from None
    if not isinstance(value, dict):
        raise invalid(field, "not a JSON object", got, "a JSON object")
    return value


def stored_document(text: str) -> Any:
    """A JSON document that was stored, fit to be shown, whatever it holds: an older release checked less.

    A character that UTF-8 cannot carry becomes U+FFFD. What cannot be shown at all (too deep, not finite) is replaced
    by a text that says what was left out.
    """
    try:
        value = json.loads(text)
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        return {"left_out": f"left out: this document cannot be read: {reason}"}
    try:
        check_depth(value)
        canonical_json(value)
    except LeptonError:
        return _showable(value, 0)
    return value


def _showable(value: Any, depth: int) -> Any:
    if isinstance(value, str):
        return value.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
    if isinstance(value, float) and not math.isfinite(value):
        return f"left out: {value} is not a number of JSON"
    if isinstance(value, dict | list) and depth >= MAX_JSON_DEPTH:
        return f"left out: nested more than {MAX_JSON_DEPTH} levels deep"
    if isinstance(value, list):
        return [_showable(each, depth + 1) for each in value]
    if isinstance(value, dict):
        return {_showable(name, depth): _showable(each, depth + 1) for name, each in value.items()}
    return value


def _load(data: bytes | str) -> Any:
    """Raises ValueError that says in words what is wrong."""
    try:
        return json.loads(
            data,
            parse_constant=_refused_constant,
            parse_int=_whole_number,
            parse_float=_finite_number,
            object_pairs_hook=_distinct,
        )
    except RecursionError:
        raise ValueError(f"nested too deeply; allowed: {MAX_JSON_DEPTH} levels") from None
    except UnicodeDecodeError:
        raise ValueError("not UTF-8") from None


def _distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        # Each name is looked up once: an object may have hundreds of thousands.
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # None
        raise ValueError(f"the key {twice[:80]!a} occurs twice")
    return found


def _whole_number(text: str) -> int:
    if len(text) > MAX_NUMBER_CHARS:
        raise ValueError(f"a number of {len(text)} digits; allowed: at most {MAX_NUMBER_CHARS}")
    return int(text)


def _finite_number(text: str) -> float:
    value = float(text) if len(text) <= MAX_NUMBER_CHARS else math.inf
    if not math.isfinite(value):
        raise ValueError(f"{text[:40]} is too long or too large for a number")
    return value


def check_depth(value: Any) -> None:
    """Raises INVALID for JSON whose objects and lists are nested more than `MAX_JSON_DEPTH` deep."""
    level = [value]
    for _ in range(MAX_JSON_DEPTH + 1):
        level = [
            inner
            for each in level
            if isinstance(each, dict | list)
            for inner in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return
    raise LeptonError(ErrorCode.INVALID, f"the JSON is nested too deeply; allowed: {MAX_JSON_DEPTH} levels")


def canonical_json(value: Any) -> str:
    """Sorted keys, no spaces, UTF-8, no NaN: equal values give equal text. Raises INVALID for what JSON cannot say."""
    try:
        text = _CANONICAL.encode(value)
        if not text.isascii():
            text.encode()
    except RecursionError:
        raise LeptonError(ErrorCode.INVALID, "the JSON is nested too deeply") from None
    except (ValueError, TypeError) as error:
        raise LeptonError(ErrorCode.INVALID, f"this has no form in JSON: {error}") from None
    return text


def _refused_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number of JSON")
