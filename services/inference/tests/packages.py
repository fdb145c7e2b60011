"""Model packages made with onnx.helper, and revisions of them."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper, numpy_helper

from lepton_core.ids import digest_of, new_id
from lepton_inference.package import Limits, ServedModel, load_model
from lepton_inference.revisions import PackageFile, Revision
from lepton_inference.warm_up import WarmUpLimits, warm_up

Package = dict[str, bytes]
FLOAT, INT64, STRING, UINT8 = TensorProto.FLOAT, TensorProto.INT64, TensorProto.STRING, TensorProto.UINT8


def build_model(nodes: list[Any], inputs: list[Any], outputs: list[Any], **weights: Any) -> ModelProto:
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def value(name: str, kind: int, *shape: int | str) -> Any:
    return helper.make_tensor_value_info(name, kind, list(shape))


def spec(name: str, datatype: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def make_package(model: ModelProto | bytes, **signature: Any) -> Package:
    content = model if isinstance(model, bytes) else model.SerializeToString()
    signature.setdefault("model_inputs", signature["inputs"])
    return {"model.onnx": content, "signature.json": json.dumps(signature).encode()}


def multiplier(factor: float = 2.0) -> Package:
    """y = factor * x for x of (batch, 4), FP32."""
    node = helper.make_node("Mul", ["x", "factor"], ["y"])
    shape = ("n", 4)
    model = build_model([node], [value("x", FLOAT, *shape)], [value("y", FLOAT, *shape)], factor=np.float32(factor))
    return make_package(model, inputs=[spec("x", "FP32", -1, 4)], outputs=[spec("y", "FP32", -1, 4)])


def classifier() -> Package:
    """Brightness of a 2 × 2 gray image: "dark" or "light", by the mean pixel."""
    nodes = [
        helper.make_node("ReduceMean", ["pixels", "axes"], ["mean"], keepdims=0),
        helper.make_node("Unsqueeze", ["mean", "one"], ["light"]),
        helper.make_node("Sub", ["unit", "light"], ["dark"]),
        helper.make_node("Concat", ["dark", "light"], ["probabilities"], axis=1),
    ]
    weights = {"axes": np.array([1, 2, 3]), "one": np.array([1]), "unit": np.float32(1)}
    inputs, outputs = [value("pixels", FLOAT, "n", 1, 2, 2)], [value("probabilities", FLOAT, "n", 2)]
    steps = [
        {"op": "normalize", "input": "image", "output": "scaled", "mean": [0.0], "std": [255.0]},
        {"op": "transpose", "input": "scaled", "output": "pixels", "order": [0, 3, 1, 2]},
    ]
    return make_package(
        build_model(nodes, inputs, outputs, **weights),
        input_kind="image",
        output_kind="class",
        labels=["dark", "light"],
        inputs=[spec("image", "UINT8", -1, 2, 2, 1)],
        steps=steps,
        model_inputs=[spec("pixels", "FP32", -1, 1, 2, 2)],
        outputs=[spec("probabilities", "FP32", -1, 2)],
    )


def regressor() -> Package:
    """price = area, when the town is known; else 0: a number column and a text column."""
    nodes = [
        helper.make_node("Cast", ["towns"], ["known"], to=FLOAT),
        helper.make_node("Mul", ["numbers", "known"], ["price"]),
    ]
    inputs = [value("numbers", FLOAT, "n", 1), value("towns", INT64, "n", 1)]
    steps = [
        {"op": "concatenate", "inputs": ["area"], "output": "raw"},
        {"op": "impute", "input": "raw", "output": "filled", "values": [7.0]},
        {"op": "normalize", "input": "filled", "output": "numbers", "mean": [0.0], "std": [1.0]},
        {"op": "lookup", "inputs": ["town"], "output": "towns", "vocabularies": [["Bern"]]},
    ]
    return make_package(
        build_model(nodes, inputs, [value("price", FLOAT, "n", 1)]),
        input_kind="row",
        output_kind="number",
        target="price",
        inputs=[spec("area", "FP64", -1, 1), spec("town", "BYTES", -1, 1)],
        steps=steps,
        model_inputs=[spec("numbers", "FP32", -1, 1), spec("towns", "INT64", -1, 1)],
        outputs=[spec("price", "FP32", -1, 1)],
    )


def make_revision(package: Package, deployment: str = "double", version: int = 1, project: str = "prj_a") -> Revision:
    files = tuple(PackageFile(path, digest_of(data), len(data)) for path, data in sorted(package.items()))
    return Revision(new_id("rev"), project, deployment, "numbers", version, new_id("mv"), files)


def load(package: Package, **limits: Any) -> ServedModel:
    chosen = {"queue_capacity": 64, "queue_bytes": 2**26, "max_batch_rows": 32, "inline_seconds": 0.002}
    found = Limits(**(chosen | limits))
    plan = warm_up(package, WarmUpLimits(found.max_batch_rows, found.inline_seconds, 1, 2**25))
    return load_model(make_revision(package), package, plan, found, ThreadPoolExecutor(1))


def endless() -> Package:
    """A loop of 2**62 steps: valid for ONNX Runtime, and never done."""
    return _looping([], times=np.int64(1 << 62))


def endless_on_ones() -> Package:
    """y = x for zeros, at once; a loop without end where x holds a 1. Warm-up runs zeros."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["most"], keepdims=0),
        helper.make_node("Mul", ["most", "many"], ["steps"]),
        helper.make_node("Cast", ["steps"], ["times"], to=INT64),
    ]
    return _looping(nodes, many=np.float32(1 << 62))


def _looping(nodes: list[Any], **weights: Any) -> Package:
    """A loop of `times` steps, which is a weight or made by `nodes` from x."""
    body = helper.make_graph(
        [helper.make_node("Identity", ["c"], ["c2"]), helper.make_node("Add", ["v", "step"], ["v2"])],
        "body",
        [value("i", INT64), value("c", TensorProto.BOOL), value("v", FLOAT)],
        [value("c2", TensorProto.BOOL), value("v2", FLOAT)],
        [numpy_helper.from_array(np.float32(1), "step")],
    )
    nodes = [
        *nodes,
        helper.make_node("Loop", ["times", "on", "start"], ["r"], body=body),
        helper.make_node("Add", ["x", "r"], ["y"]),
    ]
    weights |= {"on": np.bool_(True), "start": np.float32(0)}
    model = build_model(nodes, [value("x", FLOAT, "n", 4)], [value("y", FLOAT, "n", 4)], **weights)
    return make_package(model, inputs=[spec("x", "FP32", -1, 4)], outputs=[spec("y", "FP32", -1, 4)])


def wide(elements: int) -> Package:
    """A signature whose single row has so many numbers."""
    node = helper.make_node("Identity", ["x"], ["y"])
    model = build_model([node], [value("x", FLOAT, "n", "k")], [value("y", FLOAT, "n", "k")])
    return make_package(model, inputs=[spec("x", "FP32", -1, elements)], outputs=[spec("y", "FP32", -1, elements)])
