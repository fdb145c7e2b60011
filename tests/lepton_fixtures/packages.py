"""Small model packages, sound ones and others."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lepton_core.model_format.signature import Signature, TensorSpec

Package = dict[str, bytes]

TENSOR = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
SIGNATURE = json.dumps({"inputs": [TENSOR], "model_inputs": [TENSOR], "outputs": [TENSOR | {"name": "y"}]}).encode()


def tensor_signature(inputs: list[TensorSpec], outputs: list[TensorSpec], **more: Any) -> Signature:
    """The signature of a graph without preprocessing steps."""
    from lepton_core.model_format.signature import Signature

    return Signature(inputs=tuple(inputs), model_inputs=tuple(inputs), outputs=tuple(outputs), **more)


def adder(constant: float, *, external: str = "", padding_bytes: int = 0) -> Package:
    """y = x + constant for x of (batch, 4), FP32.

    `external`: the file in which the model says its constant lies. `padding_bytes` makes the model that much larger.
    """
    from onnx import TensorProto, helper

    term = helper.make_tensor("term", TensorProto.FLOAT, [1], [constant])
    if external:
        term.ClearField("float_data")
        term.data_location = TensorProto.EXTERNAL
        for key, value in (("location", external), ("offset", "0"), ("length", "4")):
            term.external_data.add(key=key, value=value)
    unused = helper.make_tensor("unused", TensorProto.UINT8, [padding_bytes], b"\x07" * padding_bytes, raw=True)
    rows: list[Any] = ["batch", 4]
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "term"], ["y"])],
        "adder",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, rows)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, rows)],
        [term, unused] if padding_bytes else [term],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    return {"model.onnx": model.SerializeToString(), "signature.json": SIGNATURE}
