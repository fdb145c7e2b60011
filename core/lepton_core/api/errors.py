"""What went wrong, as it looks on the wire."""

from pydantic import Field

from lepton_core.api.base import JsonObject, Resource


class FieldError(Resource):
    """One field of a request that is wrong, and what it may be instead."""

    field: str = Field("", description='Path of the field as the caller wrote it, e.g. "train.learning_rate".')
    message: str = ""
    value: str = Field("", description="The refused value as JSON, shortened to 200 characters.")
    allowed: str = Field("", description="What is allowed, in words or as a list.")


class Cause(Resource):
    """Why something is as it is, for programs: act on code and parameters, show the message."""

    code: str = Field("", description='E.g. "no_worker_with_recipe". New codes may come.')
    parameters: JsonObject = Field(default_factory=dict, description="What the code is about.")
    message: str = Field("", description="For people; its wording may change.")


class Error(Resource):
    """What went wrong. Travels in the trailing metadata "lepton-error-bin" over gRPC and as RFC 9457 problem
    details over HTTP."""

    code: str = Field("", description='A code of the error table, e.g. "not_found".')
    detail: str = ""
    fields: list[FieldError] = Field(default_factory=list)
    request_id: str = ""
    cause: Cause | None = Field(None, description="What exactly failed, where a program can act on it.")
