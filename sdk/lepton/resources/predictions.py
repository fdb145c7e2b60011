"""Predictions, with what people have: an image file or a row."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from lepton.transport.http import Transport, part
from lepton_core.errors import ErrorCode, LeptonError, invalid

MAX_IMAGE_BYTES = 24 * 1024 * 1024


class Prediction(BaseModel):
    """One answer, and what it can be traced by. Fields that the model's kind does not have are None."""

    model_config = ConfigDict(extra="allow", protected_namespaces=())

    prediction_id: str
    deployment: str = ""
    model: str = ""
    model_version: int = 0
    model_version_id: str = ""
    revision_id: str = ""
    label: str | None = None
    probabilities: dict[str, float] | None = None
    value: float | None = None


def predict(
    transport: Transport,
    deployment: str,
    *,
    image: str | Path | bytes | None = None,
    row: Mapping[str, Any] | None = None,
    rows: Sequence[Mapping[str, Any]] | None = None,
) -> Any:
    given = {name: value for name, value in (("image", image), ("row", row), ("rows", rows)) if value is not None}
    if len(given) != 1:
        raise invalid("input", f"{len(given)} inputs given", None, "exactly one of image, row and rows")
    if image is not None:
        given = {"image": base64.b64encode(_bytes_of(image)).decode()}
    return transport.request(
        "POST", f"/v1/deployments/{part(deployment, 'deployment')}:predict", json_body=given
    ).json()


def _bytes_of(image: str | Path | bytes) -> bytes:
    if isinstance(image, bytes):
        return image
    file = Path(image)
    try:
        if file.stat().st_size > MAX_IMAGE_BYTES:
            raise LeptonError(ErrorCode.TOO_LARGE, f"{file}: an image has at most {MAX_IMAGE_BYTES} bytes")
        return file.read_bytes()
    except OSError as error:
        raise LeptonError(ErrorCode.NOT_FOUND, f"{file}: {error.strerror}") from None
