"""Files of a model package are what their names say, or are refused: nothing is loaded to find out."""

import json
import pickle
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from safetensors.numpy import save_file

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.model_format.onnx_check import check_onnx
from lepton_core.model_format.package_check import check_package, check_signature
from lepton_core.model_format.safetensors_check import check_safetensors
from lepton_core.model_format.signature import Datatype, TensorSpec
from lepton_fixtures.packages import tensor_signature


def small_model() -> onnx.ModelProto:
    weight = numpy_helper.from_array(np.eye(4, dtype=np.float32), "w")
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    branch = helper.make_graph(
        [helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(np.ones(2, np.float32), "inner"))],
        "branch",
        [],
        [helper.make_tensor_value_info("c", TensorProto.FLOAT, [2])],
    )
    choice = helper.make_node("If", ["flag"], ["z"], then_branch=branch, else_branch=branch)
    graph = helper.make_graph(
        [node, choice],
        "graph",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4]),
            helper.make_tensor_value_info("flag", TensorProto.BOOL, []),
        ],
        [
            helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 4]),
            helper.make_tensor_value_info("z", TensorProto.FLOAT, [2]),
        ],
        initializer=[weight],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])


def outside(tensor: TensorProto) -> None:
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")


def refused(check: Callable[[Path], object], path: Path, words: str = "") -> None:
    with pytest.raises(LeptonError) as caught:
        check(path)
    assert caught.value.code is ErrorCode.INVALID
    assert path.name in str(caught.value)
    assert words in str(caught.value)


def test_onnx_models_pass(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(small_model(), path)
    check_onnx(path)


@pytest.mark.parametrize("where", ["initializer", "subgraph", "location_only", "sparse", "function"])
def test_external_data_is_refused_wherever_it_stands(where: str, tmp_path: Path) -> None:
    model = small_model()
    if where == "initializer":
        outside(model.graph.initializer[0])
    elif where == "subgraph":
        outside(model.graph.node[1].attribute[0].g.node[0].attribute[0].t)
    elif where == "location_only":
        model.graph.initializer[0].data_location = TensorProto.EXTERNAL
    elif where == "sparse":
        outside(model.graph.sparse_initializer.add().values)
    else:
        function = helper.make_function("own", "f", [], ["c"], [model.graph.node[1].attribute[0].g.node[0]], [])
        outside(function.node[0].attribute[0].t)
        model.functions.append(function)
    path = tmp_path / "model.onnx"
    path.write_bytes(model.SerializeToString())
    refused(check_onnx, path, "another file")


def test_what_is_no_onnx_model_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "state.pt")
    good = small_model().SerializeToString()
    for data in (
        b"",
        pickle.dumps({"weights": [1.0, 2.0]}),
        pickle.dumps(list(range(1000)), protocol=0),
        (tmp_path / "state.pt").read_bytes(),
        b"hello, world",
        good[: len(good) // 2],
        good + b"\x80",
        bytes(100),
        small_model().graph.SerializeToString(),
        # A message within a message, without end.
        b"\x3a\x7f" * 40,
    ):
        path.write_bytes(data)
        refused(check_onnx, path)


def test_safetensors_pass_and_other_files_do_not(tmp_path: Path) -> None:
    path = tmp_path / "weights.safetensors"
    save_file({"a": np.ones((2, 3), np.float32), "b": np.zeros(5, np.int64), "e": np.zeros(0)}, path, {"made": "by us"})
    check_safetensors(path)
    good = path.read_bytes()
    header = json.dumps({"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}).encode()
    for data in (
        b"",
        pickle.dumps({"a": [1.0]}),
        good[:-1],
        good + b"x",
        struct.pack("<Q", 1 << 40) + b"{}",
        struct.pack("<Q", len(header)) + header + bytes(7),
        struct.pack("<Q", len(header)) + header.replace(b"[2]", b"[3]") + bytes(8),
        struct.pack("<Q", len(header)) + header.replace(b"F32", b"OBJ") + bytes(8),
        struct.pack("<Q", len(header)) + header.replace(b"[0, 8]", b"[4,12]") + bytes(12),
    ):
        path.write_bytes(data)
        refused(check_safetensors, path)


def test_a_whole_package(tmp_path: Path) -> None:
    onnx.save(small_model(), tmp_path / "model.onnx")
    with pytest.raises(LeptonError, match=r"signature\.json is missing"):
        check_package(tmp_path)
    x = TensorSpec(name="x", datatype=Datatype.FP32, shape=(-1, 4))
    signature = tensor_signature([x], [TensorSpec(name="y", datatype=Datatype.FP32, shape=(-1, 4))])
    (tmp_path / "signature.json").write_text(signature.to_json())
    assert check_package(tmp_path) == signature
    (tmp_path / "weights.safetensors").write_bytes(pickle.dumps({}))
    with pytest.raises(LeptonError, match=r"weights\.safetensors"):
        check_package(tmp_path)


def test_a_signature_that_does_not_hang_together_is_refused() -> None:
    x = {"name": "x", "datatype": "FP32", "shape": [-1, 4]}
    good = {"inputs": [x], "model_inputs": [x], "outputs": [x]}
    check_signature(json.dumps(good))
    for change, words in (
        ({"model_inputs": [{**x, "name": "gone"}]}, "gone"),
        ({"steps": [{"op": "transpose", "input": "x", "output": "y", "order": [1, 0]}]}, "begin with 0"),
        ({"steps": [{"op": "exec", "input": "x", "output": "y"}]}, "exec"),
        ({"inputs": [{**x, "shape": [0, 4]}]}, "dimension of 0"),
        ({"inputs": [{**x, "datatype": "FP12"}]}, "FP12"),
        ({"format": 2}, "format"),
        ({"unknown": 1}, "unknown"),
    ):
        with pytest.raises(LeptonError) as caught:
            check_signature(json.dumps({**good, **change}))
        assert words in str(caught.value)
    with pytest.raises(LeptonError):
        check_signature(pickle.dumps(good))
