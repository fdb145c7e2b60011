"""Between what people have (an image file, a row) and the raw tensors of a signature, and back to an answer.

A new kind of input or output is one codec here, known to whoever serves or asks.
"""

import base64
import binascii
import difflib
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lepton_core.errors import ErrorCode, FieldError, LeptonError, invalid
from lepton_core.model_format.features.values import NumberFormat, as_text, parse_number
from lepton_core.model_format.images import ImageError, decode_image
from lepton_core.model_format.signature import NUMPY_TYPES, Datatype, Signature, TensorSpec

NUMBER_RULE = "a finite number, or null when it is missing"

Array = NDArray[Any]
Tensors = dict[str, Array]
Decoder = Callable[[Signature, Sequence[Any]], Tensors]
Encoder = Callable[[Signature, Mapping[str, Array]], list[dict[str, Any]]]


def decode_instances(signature: Signature, instances: Sequence[Any]) -> Tensors:
    """One batch of the signature's raw tensors. Raises INVALID naming the instance and field that is wrong."""
    if not instances:
        raise invalid("instances", "there is nothing to predict", allowed="at least one instance")
    decoder = INPUT_CODECS.get(signature.input_kind)
    if decoder is None:
        raise LeptonError(ErrorCode.UNIMPLEMENTED, f"no codec for input of kind {signature.input_kind!r}")
    return decoder(signature, instances)


def encode_outputs(signature: Signature, outputs: Mapping[str, Array]) -> list[dict[str, Any]]:
    """The graph's outputs as one answer an instance, ready for JSON."""
    encoder = OUTPUT_CODECS.get(signature.output_kind)
    if encoder is None:
        raise LeptonError(ErrorCode.UNIMPLEMENTED, f"no codec for output of kind {signature.output_kind!r}")
    return encoder(signature, outputs)


def _decode_images(signature: Signature, instances: Sequence[Any]) -> Tensors:
    """Each instance: the bytes of an image file, their base64 text, or {"image": …} holding either."""
    tensor = signature.inputs[0]
    height, width, channels = tensor.shape[1:]
    pixels = []
    for index, instance in enumerate(instances):
        data = _image_bytes(instance, index)
        try:
            pixels.append(decode_image(data, height, width, channels))
        except ImageError as error:
            raise invalid(f"instances[{index}].image", error.reason) from None
    return {tensor.name: np.stack(pixels)}


def _image_bytes(instance: Any, index: int) -> bytes:
    if isinstance(instance, Mapping):
        instance = instance.get("image")
    if isinstance(instance, str):
        try:
            return base64.b64decode(instance.encode(), validate=True)
        except (binascii.Error, UnicodeError):
            raise invalid(f"instances[{index}].image", "not base64", instance, "an image file in base64") from None
    if isinstance(instance, bytes | bytearray | memoryview):
        return bytes(instance)
    raise invalid(f"instances[{index}].image", "no image here", instance, 'an image file in base64, as {"image": "…"}')


def _decode_rows(signature: Signature, instances: Sequence[Any]) -> Tensors:
    """Each instance: {column: value}, or {"row": {…}}; columns that are absent or null count as missing values."""
    rows = [_row(signature, instance, index) for index, instance in enumerate(instances)]
    tensors: Tensors = {}
    for column in signature.inputs:
        values = [row.get(column.name) for row in rows]
        if column.datatype is Datatype.BYTES:
            array = np.array([as_text(value) for value in values], dtype=object)
        else:
            form = signature.number_formats.get(column.name, NumberFormat.PLAIN)
            numbers = [_number(value, form, f"instances[{index}].{column.name}") for index, value in enumerate(values)]
            array = np.array(numbers, dtype=NUMPY_TYPES[column.datatype])
        tensors[column.name] = array.reshape(len(rows), 1)
    return tensors


def _row(signature: Signature, instance: Any, index: int) -> Mapping[str, Any]:
    if isinstance(instance, Mapping) and isinstance(instance.get("row"), Mapping) and not signature.input("row"):
        instance = instance["row"]
    if not isinstance(instance, Mapping):
        raise invalid(f"instances[{index}]", "not a row", instance, "an object of column names and values")
    names = [column.name for column in signature.inputs]
    known = {*names, signature.target}
    errors = []
    for name, value in instance.items():
        if name not in known:
            near = difflib.get_close_matches(str(name), names, 3)
            allowed = f"did you mean {' or '.join(near)}?" if near else ", ".join(names)[:1000]
            errors.append(FieldError(f"instances[{index}].{name}", "the model has no such column", allowed=allowed))
        elif isinstance(value, Mapping | list | tuple):
            allowed = "a number, text or null"
            errors.append(FieldError(f"instances[{index}].{name}", "not a single value", allowed=allowed))
    if not any(name in instance for name in names):
        allowed = ", ".join(names)[:1000]
        errors.append(FieldError(f"instances[{index}]", "the row has no column of the model", allowed=allowed))
    if errors:
        raise LeptonError(ErrorCode.INVALID, f"{errors[0].field}: {errors[0].message}", errors)
    return instance


def _number(value: Any, form: NumberFormat, field: str) -> float:
    number = parse_number(value, form)
    if number is None:
        raise invalid(field, "not a number", value, NUMBER_RULE)
    # No training data held one either, and an answer about it would look like any other.
    if math.isinf(number):
        raise invalid(field, "not a finite number", value, NUMBER_RULE)
    return number


def _decode_tensors(signature: Signature, instances: Sequence[Any]) -> Tensors:
    """Each instance: {tensor name: nested lists}, or the lists alone when the model takes one tensor."""
    tensors: Tensors = {}
    for tensor in signature.inputs:
        values = [_tensor_value(signature, tensor, instance, index) for index, instance in enumerate(instances)]
        try:
            tensors[tensor.name] = np.stack(values)
        except ValueError:
            allowed = f"shape {list(tensor.shape[1:])}"
            raise invalid(tensor.name, "the instances have different shapes", allowed=allowed) from None
    return tensors


def _tensor_value(signature: Signature, tensor: TensorSpec, instance: Any, index: int) -> Array:
    field = f"instances[{index}].{tensor.name}"
    if isinstance(instance, Mapping):
        if tensor.name not in instance:
            raise invalid(field, "this input tensor is missing", allowed=f"{tensor.datatype} {list(tensor.shape[1:])}")
        instance = instance[tensor.name]
    elif len(signature.inputs) > 1:
        raise invalid(f"instances[{index}]", "the model takes several tensors", allowed="an object of names and values")
    try:
        array = np.asarray(instance, dtype=NUMPY_TYPES[tensor.datatype])
    except (TypeError, ValueError, OverflowError):
        raise invalid(field, f"not a tensor of {tensor.datatype}", instance, "nested lists of equal lengths") from None
    wanted = tensor.shape[1:]
    if array.ndim != len(wanted) or any(w not in (-1, g) for w, g in zip(wanted, array.shape, strict=True)):
        raise invalid(field, f"wrong shape {list(array.shape)}", allowed=f"shape {list(wanted)}")
    return array


def _encode_classes(signature: Signature, outputs: Mapping[str, Array]) -> list[dict[str, Any]]:
    """{"label": "7", "probabilities": {"0": 0.01, …}} from probabilities (batch, labels)."""
    probabilities = np.asarray(outputs[signature.outputs[0].name], np.float64)
    labels = signature.labels or tuple(map(str, range(probabilities.shape[1])))
    return [
        {"label": labels[int(row.argmax())], "probabilities": dict(zip(labels, row.tolist(), strict=True))}
        for row in probabilities
    ]


def _encode_numbers(signature: Signature, outputs: Mapping[str, Array]) -> list[dict[str, Any]]:
    """{"value": 3.5} from numbers (batch,) or (batch, 1)."""
    values = np.asarray(outputs[signature.outputs[0].name], np.float64).reshape(-1)
    return [{"value": value} for value in values.tolist()]


def _encode_tensors(signature: Signature, outputs: Mapping[str, Array]) -> list[dict[str, Any]]:
    arrays = {tensor.name: outputs[tensor.name] for tensor in signature.outputs}
    count = len(next(iter(arrays.values())))
    return [{name: _plain(array[index]) for name, array in arrays.items()} for index in range(count)]


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray | np.generic):
        value = value.tolist()
    if isinstance(value, list):
        return [_plain(entry) for entry in value]
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


INPUT_CODECS: dict[str, Decoder] = {"image": _decode_images, "row": _decode_rows, "tensor": _decode_tensors}
OUTPUT_CODECS: dict[str, Encoder] = {"class": _encode_classes, "number": _encode_numbers, "tensor": _encode_tensors}
