"""Bodies of `:predict`: what a JSON body or a file means, and how OpenAPI says it."""

from dataclasses import dataclass
from typing import Any

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.model_format.kinds import InputKind, input_kinds, kinds_for, output_kinds
from lepton_core.model_format.signature import Signature

# The key for a list of instances of whatever kind the model takes.
ANY_KIND = "instances"


@dataclass(frozen=True, slots=True)
class Question:
    """The instances of a request. `one` asks for the answer itself, not a list of answers."""

    kind: InputKind
    instances: list[Any]
    one: bool


def question_of_file(signature: Signature, content_type: str, body: bytes) -> Question:
    """A body that is one instance. Raises UNSUPPORTED_MEDIA for a content type that no kind reads."""
    reading = [kind for kind in input_kinds() if any(_matches(content_type, each) for each in kind.media_types)]
    if not reading:
        known = ", ".join(dict.fromkeys(each for kind in input_kinds() for each in kind.media_types))
        detail = f"content type {content_type[:100]!r} is not read here; allowed: application/json, {known}"
        raise LeptonError(ErrorCode.UNSUPPORTED_MEDIA, detail)
    return Question(_accepting(signature, reading, content_type), [body], one=True)


def question_of_json(signature: Signature, document: Any) -> Question:
    """A JSON body: an object with one key. Raises INVALID naming what is wrong and which keys the model takes."""
    if not isinstance(document, dict) or len(document) != 1:
        got = sorted(document)[:20] if isinstance(document, dict) else type(document).__name__
        raise invalid("body", "must be an object with one key", got, ", ".join(_keys(signature)))
    ((key, value),) = document.items()
    if single := [kind for kind in input_kinds() if kind.one == key]:
        return Question(_accepting(signature, single, key), [value], one=True)
    if key == ANY_KIND:
        kind = kinds_for(signature)[0]
    else:
        several = [kind for kind in input_kinds() if kind.many == key]
        if not several:
            raise invalid(key[:100], "unknown key", allowed=", ".join(_keys(signature)))
        kind = _accepting(signature, several, key)
    if not isinstance(value, list) or not value:
        raise invalid(key, "must be a list of at least one", value if not value else type(value).__name__)
    return Question(kind, value, one=False)


def request_body() -> dict[str, Any]:
    """The request body of `:predict` for OpenAPI."""
    kinds = input_kinds()
    forms: list[dict[str, Any]] = []
    for kind in kinds:
        forms.append(_form(kind.one, dict(kind.schema)))
        forms.append(_form(kind.many, _list_of(dict(kind.schema))))
    forms.append(_form(ANY_KIND, _list_of({"description": "An instance of the kind that the model takes."})))
    content: dict[str, Any] = {
        "application/json": {
            "schema": {"title": "PredictRequest", "oneOf": forms},
            "examples": {kind.one: {"value": {kind.one: kind.example}} for kind in kinds},
        }
    }
    for media_type in dict.fromkeys(each for kind in kinds for each in kind.media_types):
        content[media_type] = {"schema": {"type": "string", "format": "binary"}}
    return {"required": True, "content": content}


def answer_schema() -> dict[str, Any]:
    """The answer of `:predict` for OpenAPI: to one instance, or a list of answers under `predictions`."""
    own: dict[str, Any] = {}
    for kind in output_kinds():
        own |= {name: dict(schema) for name, schema in kind.properties.items()}
    about = {name: {"type": "integer" if name == "model_version" else "string"} for name in ABOUT}
    one = {"title": "PredictionAnswer", "type": "object", "properties": own | about, "required": list(ABOUT)}
    several = {
        "title": "PredictionAnswers",
        "type": "object",
        "properties": {"predictions": {"type": "array", "items": one}},
        "required": ["predictions"],
    }
    return {"title": "PredictResponse", "oneOf": [one, several]}


# What every answer says of itself, beside the fields of its kind.
ABOUT = ("deployment", "model", "model_version", "model_version_id", "revision_id", "prediction_id")


def _form(key: str, schema: dict[str, Any]) -> dict[str, Any]:
    title = "Predict" + key.title()
    return {"title": title, "type": "object", "properties": {key: schema}, "required": [key]}


def _list_of(schema: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "minItems": 1, "items": schema}


def _matches(content_type: str, pattern: str) -> bool:
    family, _, rest = pattern.partition("/")
    return content_type == pattern or (rest == "*" and content_type.startswith(f"{family}/"))


def _accepting(signature: Signature, kinds: list[InputKind], given: str) -> InputKind:
    for kind in kinds:
        if kind.accepts(signature):
            return kind
    detail = f"the model takes {kinds_for(signature)[0].name!r}, not {kinds[0].name!r}"
    raise invalid(given, detail, allowed=", ".join(_keys(signature)))


def _keys(signature: Signature) -> list[str]:
    """The keys of a JSON body that a model of this signature takes."""
    return [*(key for kind in kinds_for(signature) for key in (kind.one, kind.many)), ANY_KIND]
