"""Inference requests as JSON, and the binary extension: tensors as bytes after the JSON, in the order of the inputs."""

from dataclasses import dataclass
from typing import Any

import orjson

from lepton_core.errors import ErrorCode, LeptonError, Location, invalid
from lepton_inference.dataplane import Answer
from lepton_inference.requested_outputs import CLASSIFICATION, RequestedOutput, refuse_shared_memory
from lepton_inference.tensors import WireTensor, to_list, to_raw

LENGTH_HEADER = b"inference-header-content-length"

_JSON_HEADERS = ((b"content-type", b"application/json"),)


@dataclass(slots=True)
class OipRequest:
    id: str
    tensors: list[WireTensor]
    outputs: list[RequestedOutput]
    # The outputs that are requested as bytes; `all_binary` is the default for the others.
    binary: dict[str, bool]
    all_binary: bool
    timeout_seconds: float | None


def read_request(body: bytes, header_length: bytes | None) -> OipRequest:
    """Raises INVALID that names the first wrong field."""
    size = len(body) if header_length is None else _header_length(header_length, len(body))
    try:
        document = orjson.loads(body if size == len(body) else memoryview(body)[:size])
    except orjson.JSONDecodeError as error:
        # Also for NaN and infinity, which JSON does not have; the binary extension can send them.
        raise LeptonError(ErrorCode.INVALID, f"the body is not JSON: {error}") from None
    if not isinstance(document, dict):
        raise LeptonError(ErrorCode.INVALID, 'the body is not a JSON object with "inputs"')
    parameters = _object(document.get("parameters"), ("parameters",))
    request = OipRequest(
        _text("" if document.get("id") is None else document["id"], ("id",)),
        _tensors(document.get("inputs"), memoryview(body)[size:]),
        [],
        {},
        parameters.get("binary_data_output") is True,
        _timeout(parameters.get("timeout")),
    )
    for index, each in enumerate(_list([] if document.get("outputs") is None else document["outputs"], ("outputs",))):
        output = _object(each, ("outputs", index))
        name = _text(output.get("name"), ("outputs", index, "name"))
        parameters = _object(output.get("parameters"), ("outputs", index, "parameters"))
        refuse_shared_memory(parameters, ("outputs", index))
        request.outputs.append(RequestedOutput(name, parameters.get(CLASSIFICATION)))
        wanted = parameters.get("binary_data")
        if wanted is not None:
            request.binary[name] = wanted is True
    return request


def to_body(name: str, request: OipRequest, answer: Answer) -> tuple[tuple[tuple[bytes, bytes], ...], bytes]:
    """Headers and body of the response."""
    served = answer.served
    outputs: list[dict[str, Any]] = []
    blobs: list[bytes] = []
    for output, values in answer.outputs.items():
        datatype = answer.datatype(output)
        entry: dict[str, Any] = {"name": output, "datatype": datatype, "shape": values.shape}
        if request.binary.get(output, request.all_binary):
            blobs.append(to_raw(datatype, values))
            entry["parameters"] = {"binary_data_size": len(blobs[-1])}
        else:
            entry["data"] = to_list(datatype, values)
        outputs.append(entry)
    document: dict[str, Any] = {
        "model_name": name,
        "model_version": served.version,
        "id": request.id,
        "parameters": {
            "prediction_id": answer.prediction_id,
            "model_version_id": served.revision.version_id,
            "revision_id": served.revision.id,
        },
        "outputs": outputs,
    }
    if not request.id:
        del document["id"]
    if served.answer_labels:
        document["parameters"]["labels"] = served.answer_labels
    head = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    if not blobs:
        return _JSON_HEADERS, head
    headers = ((b"content-type", b"application/octet-stream"), (LENGTH_HEADER, b"%d" % len(head)))
    return headers, b"".join((head, *blobs))


def _header_length(text: bytes, available: int) -> int:
    # At most nine digits: int() of a very long number would take too long.
    value = int(text) if text.isdigit() and len(text) < 10 else -1
    if not 0 < value <= available:
        name = LENGTH_HEADER.decode()
        raise invalid(name, "is not the length of the JSON part", text.decode("latin-1"), f"1 to {available}")
    return value


def _tensors(inputs: Any, rest: memoryview) -> list[WireTensor]:
    if not isinstance(inputs, list) or not inputs:
        raise invalid("inputs", "must be a list of at least one tensor", None if isinstance(inputs, list) else inputs)
    tensors = []
    at = 0
    for index, each in enumerate(inputs):
        field = ("inputs", index)
        entry = _object(each, field)
        if not isinstance(entry.get("shape"), list):
            raise invalid((*field, "shape"), "must be a list of whole numbers", entry.get("shape"))
        parameters = _object(entry.get("parameters"), (*field, "parameters"))
        refuse_shared_memory(parameters, field)
        size = parameters.get("binary_data_size")
        data = entry.get("data")
        if size is not None:
            if type(size) is not int or not 0 <= size <= len(rest) - at or data is not None:
                allowed = f"the tensor's bytes after the JSON ({len(rest) - at} are left), and no data beside them"
                raise invalid(
                    (*field, "parameters", "binary_data_size"), "does not match the bytes that were sent", size, allowed
                )
            data = rest[at : at + size]
            at += size
        elif not isinstance(data, list):
            message = "missing" if data is None else "not a list of elements"
            raise invalid((*field, "data"), message, data, "a list of elements, flat or nested, or binary_data_size")
        name = _text(entry.get("name"), (*field, "name"))
        datatype = _text(entry.get("datatype"), (*field, "datatype"))
        tensors.append(WireTensor(name, datatype, entry["shape"], data, raw=size is not None))
    if at != len(rest):
        raise LeptonError(ErrorCode.INVALID, f"the last {len(rest) - at} bytes after the JSON belong to no input")
    return tensors


def _timeout(value: Any) -> float | None:
    if value is None:
        return None
    if type(value) is not int or value < 0:
        raise invalid(("parameters", "timeout"), "is not a number of microseconds", value, "a whole number; 0 for none")
    return value / 1e6 if value else None


def _object(value: Any, field: Location) -> dict[str, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise invalid(field, "must be an object", value)
    return value


def _list(value: Any, field: Location) -> list[Any]:
    if not isinstance(value, list):
        raise invalid(field, "must be a list", value)
    return value


def _text(value: Any, field: Location) -> str:
    if not isinstance(value, str):
        raise invalid(field, "must be text", value) if value is not None else invalid(field, "missing")
    return value
