"""Base classes of resources, answers and requests."""

from collections.abc import Set as AbstractSet
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

JsonObject = dict[str, Any]
# The range of a protobuf field: a larger number is refused at the entry.
Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Resource(BaseModel):
    """A resource in the JSON of the API, with the field names of its message in `lepton.v1`.

    Unknown fields are ignored, since a newer server may add some.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        ser_json_bytes="base64",
        val_json_bytes="base64",
        ser_json_inf_nan="strings",  # a diverging loss is NaN, which is not a number in JSON
        defer_build=True,  # most programs use few of them, and start faster
    )


class VersionedResource(Resource):
    """A named resource of a project with numbered versions."""

    id: str = ""
    project: str = ""
    name: str = ""
    description: str = ""
    latest_version: int = 0
    created_at_us: int = 0


class Answer(Resource):
    """The answer of a route that is not a single resource: the fields of the RPC's answer."""


class Request(BaseModel):
    """The body of a request: the fields of its message in `lepton.v1`, without those of `in_path`, which are in the
    URL. Unknown fields are refused, since they may be misspelt."""

    # Not deferred, unlike resources: FastAPI copies the fields of a body, and pydantic would warn of the additions.
    model_config = ConfigDict(frozen=True, extra="forbid")

    in_path: ClassVar[AbstractSet[str]] = frozenset()
