"""What clients of other makers send, and what they are answered."""

from typing import Any

import numpy as np
import pytest

from lepton_core.errors import LeptonError
from lepton_core.model_format.signature import Datatype, TensorSpec
from lepton_inference.tensors import InputTable, WireTensor
from lepton_proto.inference import open_inference_pb2 as oip
from lepton_proto.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub
from services.inference.tests.fleet import Fleet
from services.inference.tests.packages import multiplier

INFER = "/v2/models/double/infer"
TENSOR = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}


async def test_null_stands_for_an_absent_member(fleet: Fleet) -> None:
    await fleet.deploy(multiplier())
    body = {"id": None, "outputs": None, "parameters": None, "inputs": [TENSOR | {"parameters": None}]}
    answer = await fleet.http.post(INFER, json=body)
    assert answer.json()["outputs"][0]["data"] == [2, 4, 6, 8]


def test_whole_floats_are_taken_for_whole_numbers_and_fractions_are_not() -> None:
    table = InputTable([TensorSpec(name="x", datatype=Datatype.INT64, shape=(-1,))])
    assert table.decode([WireTensor("x", "INT64", [2], [1.0, 2])])["x"].tolist() == [1, 2]
    for wrong in (1.5, float("inf"), 1e300, "1"):
        with pytest.raises(LeptonError):
            table.decode([WireTensor("x", "INT64", [2], [wrong, 2])])


@pytest.mark.parametrize("name", ["classification", "shared_memory_region"])
async def test_parameters_of_an_output_that_would_change_the_answer_are_refused(fleet: Fleet, name: str) -> None:
    await fleet.deploy(multiplier())
    body: dict[str, Any] = {"inputs": [TENSOR], "outputs": [{"name": "y", "parameters": {name: 1}}]}
    answer = await fleet.http.post(INFER, json=body)
    assert answer.status_code == 422
    assert "binary_data" in answer.json()["error"]


async def test_a_version_in_the_query_is_refused_with_the_path_to_use(fleet: Fleet) -> None:
    await fleet.deploy(multiplier())
    answer = await fleet.http.post(f"{INFER}?version=1", json={"inputs": [TENSOR]})
    assert answer.status_code == 422
    assert "/versions/VERSION/infer" in answer.json()["error"]


async def test_a_broken_body_of_the_index_is_refused(fleet: Fleet) -> None:
    for body in (b"{", b"[" * 100_000):
        assert (await fleet.http.post("/v2/repository/index", content=body)).status_code == 422


async def test_over_grpc_an_unknown_model_is_not_ready_and_empty_contents_are_no_contents(fleet: Fleet) -> None:
    await fleet.deploy(multiplier())
    stub = GRPCInferenceServiceStub(fleet.rpc)
    assert not (await stub.ModelReady(oip.ModelReadyRequest(name="nothing"))).ready
    request = oip.ModelInferRequest(model_name="double")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4]).contents.SetInParent()
    request.raw_input_contents.append(np.ones(4, np.float32).tobytes())
    assert len((await stub.ModelInfer(request)).raw_output_contents) == 1
