"""What all resources share."""

from typing import Any

from pydantic import BaseModel, ConfigDict

JsonObject = dict[str, Any]


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
    )
