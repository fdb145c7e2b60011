"""`lepton predict`: predictions of a deployment, with options for each kind of input."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Group, RenderableType

from lepton.cli import complete, render
from lepton.cli.session import Json, connect
from lepton.resources.predictions import Prediction
from lepton_core.errors import ErrorCode, FieldError, LeptonError, invalid, invalid_field
from lepton_core.model_format.kinds import InputKind, Option, input_kinds, kind_of_answer
from lepton_core.model_format.kinds.bodies import ABOUT
from lepton_core.plain_text import plain

if TYPE_CHECKING:
    from lepton.client import Client

INSTANCES_PER_CALL = 200
SHOWN_SCORES = 5
BAR_LETTERS = 30


def predict_command() -> Callable[..., None]:
    """Builds the command, with the options of all kinds of input."""
    choices = {option.name: (kind, option) for kind in input_kinds() for option in kind.options}

    def predict(name: str, as_json: bool = False, **given: str | None) -> None:
        chosen = {option: text for option, text in given.items() if text is not None}
        if len(chosen) != 1:
            allowed = "exactly one of " + ", ".join(f"--{option}" for option in choices)
            raise invalid("input", f"{len(chosen)} inputs given", None, allowed)
        ((option, text),) = chosen.items()
        with connect() as client:
            _ask(client, name, *choices[option], text, as_json=as_json)

    predict.__doc__ = """Get a deployment's prediction for an image, a row, a text, or another input of the model.

    For a file of several inputs (--rows, --tensors), each prediction is one line (with --json, a JSON object), in the
    order of the file.

    Examples: lepton predict digits --image seven.png · lepton predict tumours --rows new.csv
    """
    parameters = {
        "name": Annotated[str, typer.Argument(help="The deployment.", autocompletion=complete.deployments)],
        **{name: _annotation(option) for name, (_, option) in choices.items()},
        "as_json": Json,
    }
    defaults: dict[str, Any] = {"name": inspect.Parameter.empty, "as_json": False}
    # Typer reads the options from the signature and the annotations of a function.
    predict.__annotations__ = {**parameters, "return": None}
    predict.__signature__ = inspect.Signature(  # type: ignore[attr-defined]  # read by inspect
        [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=defaults.get(name), annotation=annotation)
            for name, annotation in parameters.items()
        ]
    )
    return predict


def _annotation(option: Option) -> Any:
    return Annotated[str | None, typer.Option(f"--{option.name}", metavar=option.metavar, help=option.help)]


def _ask(client: Client, name: str, kind: InputKind, option: Option, text: str, *, as_json: bool) -> None:
    if option.many:
        _ask_many(client, name, kind, option, text, as_json)
        return
    try:
        prediction = client.predict(name, **{kind.one: option.read(text)})
    except LeptonError as error:
        raise _with_known(client, name, in_own_words(error)) from None
    # As the server sent it, without the fields that this model's kind does not have.
    render.show(prediction.model_dump(exclude_none=True), as_json, lambda: _rendered(prediction))


def _ask_many(client: Client, name: str, kind: InputKind, option: Option, text: str, as_json: bool) -> None:
    reader, done = iter(option.read(text)), 0
    while batch := list(islice(reader, INSTANCES_PER_CALL)):
        try:
            answers = client.predict_many(name, **{kind.many: batch})
        except LeptonError as error:
            raise _with_known(client, name, in_own_words(error, done + 1)) from None
        for prediction in answers:
            _print_line(prediction, as_json)
        done += len(batch)


def in_own_words(error: LeptonError, first_row: int = 0) -> LeptonError:
    """The error with fields named as on the command line, not as in the request.

    `instances[3].age` becomes `row 204: age` if the request began at row 201, and `age` for a single row (0).
    """

    fields = [_in_own_words(each, first_row) for each in error.fields]
    detail = invalid_field(fields[0]).detail if fields and fields[0] != error.fields[0] else error.detail
    return LeptonError(
        error.code, detail, fields, request_id=error.request_id, retry_after_seconds=error.retry_after_seconds
    )


def _in_own_words(wrong: FieldError, first_row: int) -> FieldError:
    if wrong.field_path[:1] != ("instances",) or len(wrong.field_path) < 2:
        return wrong
    index, *names = wrong.field_path[1:]
    field = ".".join(names)
    if first_row:
        row = f"row {first_row + int(index)}"
        return replace(wrong, field=f"{row}: {field}" if field else row)
    return replace(wrong, field=field or "the input")


def _with_known(client: Client, name: str, error: LeptonError) -> LeptonError:
    """Adds the existing deployments to a NOT_FOUND."""
    if error.code is not ErrorCode.NOT_FOUND or not error.request_id:
        # A missing local file is NOT_FOUND too; only the server's answers have a request id.
        return error
    known = ", ".join(each.name for each in client.deployments.list()) or "none yet: lepton deploy NAME MODEL"
    return LeptonError(error.code, error.detail, [FieldError("deployment", error.detail, name, known)])


def _print_line(prediction: Prediction, as_json: bool) -> None:
    answer = prediction.model_dump(exclude_none=True)
    if as_json:
        render.print_json_line(answer)
        return
    kind = kind_of_answer(answer)
    typer.echo("\t".join(map(plain, kind.line(answer).split("\t"))) if kind else plain(_unknown(answer)))


def _rendered(prediction: Prediction) -> RenderableType:
    answer = prediction.model_dump(exclude_none=True)
    kind = kind_of_answer(answer)
    parts: list[RenderableType] = [render.fields({"answer": kind.text(answer) if kind else _unknown(answer)})]
    if kind and (scores := kind.scores(answer)):
        rows = [(label, f"{value:.3f}", "█" * round(value * BAR_LETTERS)) for label, value in scores[:SHOWN_SCORES]]
        parts += ["", render.table(("LABEL", "#PROBABILITY", ""), rows)]
    about = {
        "model": f"{prediction.model}@{prediction.model_version}",
        "prediction": prediction.prediction_id,
        "where from": f"lepton lineage {prediction.prediction_id}",
    }
    return Group(*parts, "", render.fields(about))


def _unknown(answer: dict[str, Any]) -> str:
    """For an answer of a kind that this installation does not know, or without a value."""
    own = {name: value for name, value in answer.items() if name not in ABOUT}
    return json.dumps(own, ensure_ascii=False)
