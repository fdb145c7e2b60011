"""Pydantic's complaints as our own errors: the field's path, the bad value, what is allowed, and near matches."""

import difflib
import json
import types
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic_core import PydanticCustomError

from lepton_core.errors import ErrorCode, FieldError, LeptonError, shown
from lepton_core.ids import LABEL_PATTERN, LABEL_RULE

Model = TypeVar("Model", bound=BaseModel)

MAX_FIELD_ERRORS = 50
# Of a JSON document. What reads or writes one deeper than a few hundred levels fails in ways of its own.
MAX_JSON_DEPTH = 64
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


def unknown_name(field: str, name: str, known: Iterable[str], kind: str = "field") -> FieldError:
    """An unknown name of a field (or another `kind` of thing), with what it may have meant."""
    known = sorted(known)
    near = near_matches(name, known)
    hint = f", did you mean {' or '.join(repr(match) for match in near)}?" if near else ""
    return FieldError(field, f"unknown {kind}{hint}", "", ", ".join(known) or "none")


def path_of(location: Sequence[str | int]) -> str:
    """`("train", "layers", 0)` as people write it: `train.layers[0]`."""
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)[:128]
    return path


def _field_error(error: Mapping[str, Any], model: type[BaseModel] | None, prefix: Sequence[str | int]) -> FieldError:
    location = tuple(error["loc"])
    field = path_of((*prefix, *location))
    kind, context = error["type"], error.get("ctx") or {}
    if kind == "extra_forbidden" and location:
        owner = _model_at(model, location[:-1])
        return unknown_name(field, str(location[-1]), _names(owner) if owner else ())
    allowed = [text.format(context[key]) for key, text in _LIMITS.items() if key in context]
    if not allowed and kind in _TYPES:
        allowed = [_TYPES[kind]]
    message = str(error["msg"])
    if context.get("pattern") == LABEL_PATTERN:
        message, allowed = "not a valid name", [LABEL_RULE]
    elif kind == "value_error":
        message = message.removeprefix("Value error, ")
    elif kind == "missing":
        message = "required"
    value = "" if kind in ("missing", "json_invalid") else shown(error.get("input"))
    return FieldError(field, message, value, " and ".join(allowed))


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
    """JSON of a stranger: INVALID for what is none, for NaN and infinity, and for nesting that would exhaust us."""
    try:
        value = json.loads(data, parse_constant=_refused_constant)
        check_depth(value)
        canonical_json(value)
    except RecursionError:
        raise LeptonError(ErrorCode.INVALID, "the JSON is nested too deeply") from None
    except UnicodeDecodeError:
        raise LeptonError(ErrorCode.INVALID, "the body is not JSON: not UTF-8") from None
    except ValueError as error:
        raise LeptonError(ErrorCode.INVALID, f"the body is not JSON: {error}") from None
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
