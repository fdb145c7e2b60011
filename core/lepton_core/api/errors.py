"""Errors and causes."""

from pydantic import Field

from lepton_core.api.base import JsonObject, Resource

FIELD_PATH = (
    'The path in parts, for programs: ["instances", "3", "age"]; the index of a list is a decimal number. '
    "A plain name is one part."
)


class FieldError(Resource):
    """A wrong field of a request, and what is allowed."""

    field: str = Field("", description='Path of the field as the caller wrote it, e.g. "train.learning_rate".')
    message: str = ""
    value: str = Field("", description="The refused value as JSON, shortened to 200 characters.")
    allowed: str = Field("", description="What is allowed, in words or as a list.")
    field_path: list[str] = Field(default_factory=list, description=FIELD_PATH)


class Cause(Resource):
    """The cause of a state or error. Code and parameters are for programs, the message is for people."""

    code: str = Field("", description='For example "no_worker_with_recipe". Later versions may add codes.')
    parameters: JsonObject = Field(
        default_factory=dict, description="Values that belong to the code, such as numbers and names."
    )
    message: str = Field("", description="For people; its wording may change.")


class Error(Resource):
    """An error. Sent in the trailing metadata "lepton-error-bin" over gRPC and as RFC 9457 problem
    details over HTTP."""

    code: str = Field("", description='A code of the error table, e.g. "not_found".')
    detail: str = ""
    fields: list[FieldError] = Field(default_factory=list)
    request_id: str = ""
    cause: Cause | None = Field(None, description="The exact cause, if programs can act on it.")
