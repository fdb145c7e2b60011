"""Packages made with onnx.helper, and a replica without a registry: everything else is the real service."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from lepton_core.ids import digest_of, new_id
from lepton_inference.package import Limits, ServedModel, load_model
from lepton_inference.revisions import PackageFile, Revision

LIMITS = Limits(queue_capacity=64, queue_bytes=2**26, max_batch_rows=32, inline_seconds=0.002, threads=1)


def build_model(
    nodes: list[Any], inputs: list[Any], outputs: list[Any], weights: dict[str, Any] | None = None
) -> ModelProto:
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in (weights or {}).items()]
    graph = helper.make_graph(nodes, "test", inputs, outputs, initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10)


def value(name: str, kind: int, *shape: int | str) -> Any:
    return helper.make_tensor_value_info(name, kind, list(shape))


def spec(name: str, datatype: str, *shape: int) -> dict[str, Any]:
    return {"name": name, "datatype": datatype, "shape": list(shape)}


def make_package(model: ModelProto | bytes, **signature: Any) -> dict[str, bytes]:
    content = model if isinstance(model, bytes) else model.SerializeToString()
    signature.setdefault("model_inputs", signature["inputs"])
    return {"model.onnx": content, "signature.json": json.dumps(signature).encode()}


def doubler() -> dict[str, bytes]:
    """y = 2x for x of (batch, 4), FP32."""
    node = helper.make_node("Mul", ["x", "two"], ["y"])
    model = build_model(
        [node],
        [value("x", TensorProto.FLOAT, "n", 4)],
        [value("y", TensorProto.FLOAT, "n", 4)],
        {"two": np.float32(2)},
    )
    return make_package(model, inputs=[spec("x", "FP32", -1, 4)], outputs=[spec("y", "FP32", -1, 4)])


def make_revision(package: dict[str, bytes], deployment: str = "double", version: int = 1, **more: Any) -> Revision:
    files = tuple(PackageFile(path, digest_of(data), len(data)) for path, data in sorted(package.items()))
    fields = {"id": new_id("rev"), "project": "prj_a", "model": "numbers", "version_id": new_id("mv")} | more
    return Revision(deployment=deployment, version=version, files=files, **fields)


def load(package: dict[str, bytes], **limits: Any) -> ServedModel:
    chosen = Limits(**({name: getattr(LIMITS, name) for name in Limits.__slots__} | limits))
    return load_model(make_revision(package), package, chosen, ThreadPoolExecutor(1))


@pytest.fixture
def packages(tmp_path: Path) -> Callable[[dict[str, bytes]], Path]:
    """Writes a package into a folder, as a store would hold it."""

    def write(package: dict[str, bytes]) -> Path:
        for path, data in package.items():
            (tmp_path / path).write_bytes(data)
        return tmp_path

    return write
