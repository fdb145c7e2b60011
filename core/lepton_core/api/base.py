"""What all resources share."""

from collections.abc import Set as AbstractSet
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

JsonObject = dict[str, Any]
# What a message can carry: a larger one is refused where it comes in.
Int32 = Annotated[int, Field(ge=-(2**31), lt=2**31)]
Int64 = Annotated[int, Field(ge=-(2**63), lt=2**63)]


class Resource(BaseModel):
    """A thing as it looks on the wire, over HTTP and gRPC alike: the same names as its message in `lepton.v1`.

    What a newer server adds is kept out of the way: unknown fields are ignored.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="ignore",
        ser_json_bytes="base64",
        val_json_bytes="base64",
        ser_json_inf_nan="strings",  # a diverging loss is NaN, which JSON cannot say as a number
        defer_build=True,  # most programs use a few of them: what is not used costs nothing at their start
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
    """What a route answers with, when it is more than one resource: the fields of the RPC's answer."""


class Request(BaseModel):
    """The body of a request. It has the fields of its message in `lepton.v1`, without those of `in_path`, which the
    URL holds. An unknown field is refused: it may be a misspelt one."""

    # Not deferred as resources are: FastAPI takes the schema of a body apart, and pydantic warns of what it adds.
    model_config = ConfigDict(frozen=True, extra="forbid")

    in_path: ClassVar[AbstractSet[str]] = frozenset()
