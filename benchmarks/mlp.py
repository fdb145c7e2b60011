"""The model of the serving benchmark: 784-128-10 with random weights, as ONNX."""

from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

INPUT, OUTPUT, FEATURES, CLASSES = "x", "y", 784, 10


def build() -> bytes:
    random = np.random.default_rng(7)
    weights: dict[str, Any] = {
        "w1": random.standard_normal((FEATURES, 128)) * 0.05,
        "b1": np.zeros(128),
        "w2": random.standard_normal((128, CLASSES)) * 0.1,
        "b2": np.zeros(CLASSES),
    }
    nodes = [
        helper.make_node("Gemm", [INPUT, "w1", "b1"], ["hidden"]),
        helper.make_node("Relu", ["hidden"], ["active"]),
        helper.make_node("Gemm", ["active", "w2", "b2"], [OUTPUT]),
    ]
    graph = helper.make_graph(
        nodes,
        "mlp",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["batch", FEATURES])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["batch", CLASSES])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)
    content: bytes = model.SerializeToString()
    return content


def signature() -> dict[str, Any]:
    inputs = [{"name": INPUT, "datatype": "FP32", "shape": [-1, FEATURES]}]
    outputs = [{"name": OUTPUT, "datatype": "FP32", "shape": [-1, CLASSES]}]
    return {"inputs": inputs, "model_inputs": inputs, "outputs": outputs}


def sample() -> np.ndarray[Any, np.dtype[np.float32]]:
    """One row of four decimals: (1, 784)."""
    return np.round(np.random.default_rng(1).standard_normal((1, FEATURES)), 4).astype(np.float32)
