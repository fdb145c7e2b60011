"""What clients of other makers send, and what they are answered."""

from typing import Any

import numpy as np
import pytest
from grpc import aio

from lepton_core.errors import LeptonError
from lepton_core.model_format.signature import Datatype, TensorSpec
from lepton_inference.http.not_offered import NOT_OFFERED
from lepton_inference.requested_outputs import classify
from lepton_inference.tensors import InputTable, WireTensor
from lepton_proto.inference import open_inference_pb2 as oip
from lepton_proto.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub
from services.inference.tests.fleet import Fleet
from services.inference.tests.packages import classifier, multiplier

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


PIXELS = {"name": "image", "datatype": "UINT8", "shape": [1, 2, 2, 1], "data": [255, 255, 255, 0]}
LABELS = '["dark","light"]'


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("classification", "the labels of output 'y' are not known (got 1); allowed: none: the model has no labels"),
        ("shared_memory_region", "shared memory is not supported; allowed: elements in the request"),
    ],
)
async def test_parameters_of_an_output_that_would_change_the_answer_are_refused(
    fleet: Fleet, name: str, words: str
) -> None:
    """In the message itself, since clients of the protocol show no more."""
    await fleet.deploy(multiplier())
    body: dict[str, Any] = {"inputs": [TENSOR], "outputs": [{"name": "y", "parameters": {name: 1}}]}
    answer = await fleet.http.post(INFER, json=body)
    assert answer.status_code == 422
    assert f"outputs[0].parameters.{name}: {words}" in answer.json()["error"]
    request = oip.ModelInferRequest(model_name="double")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4]).contents.fp32_contents.extend([1, 2, 3, 4])
    request.outputs.add(name="y").parameters[name].int64_param = 1
    with pytest.raises(aio.AioRpcError) as caught:
        await bare_infer(fleet, request)
    assert f"outputs[0].parameters.{name}: {words}" in (caught.value.details() or "")


async def bare_infer(fleet: Fleet, request: oip.ModelInferRequest) -> Any:
    """As a client that knows nothing of the details in the trailers."""
    metadata = (("authorization", f"Bearer {fleet.key}"),)
    async with aio.insecure_channel(f"127.0.0.1:{fleet.replica.grpc_port}") as channel:
        return await GRPCInferenceServiceStub(channel).ModelInfer(request, metadata=metadata)


async def test_shared_memory_of_an_input_is_refused(fleet: Fleet) -> None:
    await fleet.deploy(multiplier())
    tensor = {key: value for key, value in TENSOR.items() if key != "data"}
    body = {"inputs": [tensor | {"parameters": {"shared_memory_region": "r"}}]}
    answer = await fleet.http.post(INFER, json=body)
    assert "inputs[0].parameters.shared_memory_region: shared memory is not supported" in answer.json()["error"]


async def test_the_labels_of_a_classifier_are_in_its_metadata_and_its_answers(fleet: Fleet) -> None:
    await fleet.deploy(classifier(), "light")
    assert (await fleet.http.get("/v2/models/light")).json()["properties"] == {"labels": LABELS}
    answer = (await fleet.http.post("/v2/models/light/infer", json={"inputs": [PIXELS]})).json()
    assert answer["parameters"]["labels"] == LABELS
    response = await GRPCInferenceServiceStub(fleet.rpc).ModelInfer(light_request())
    assert response.parameters["labels"].string_param == LABELS
    await fleet.deploy(multiplier())
    assert "properties" not in (await fleet.http.get("/v2/models/double")).json()
    assert "labels" not in (await fleet.http.post(INFER, json={"inputs": [TENSOR]})).json()["parameters"]


def light_request() -> oip.ModelInferRequest:
    request = oip.ModelInferRequest(model_name="light")
    request.inputs.add(name="image", datatype="UINT8", shape=[1, 2, 2, 1]).contents.uint_contents.extend(PIXELS["data"])
    return request


async def test_the_best_classes_of_a_classifier_are_texts_when_asked_for(fleet: Fleet) -> None:
    await fleet.deploy(classifier(), "light")
    for count, data in ((1, ["0.750000:1:light"]), (9, ["0.750000:1:light", "0.250000:0:dark"])):
        body = {"inputs": [PIXELS], "outputs": [{"name": "probabilities", "parameters": {"classification": count}}]}
        (output,) = (await fleet.http.post("/v2/models/light/infer", json=body)).json()["outputs"]
        assert output == {"name": "probabilities", "datatype": "BYTES", "shape": [1, len(data)], "data": data}
        request = light_request()
        request.outputs.add(name="probabilities").parameters["classification"].int64_param = count
        (tensor,) = (await GRPCInferenceServiceStub(fleet.rpc).ModelInfer(request)).outputs
        assert [each.decode() for each in tensor.contents.bytes_contents] == data
    for wrong in (0, True, "2", 1.5):
        body = {"inputs": [PIXELS], "outputs": [{"name": "probabilities", "parameters": {"classification": wrong}}]}
        answer = await fleet.http.post("/v2/models/light/infer", json=body)
        assert "a whole number of at least 1" in answer.json()["error"]


def test_classes_are_ordered_by_value_and_nan_comes_last() -> None:
    values = np.array([[0.1, np.nan, 0.7], [0.5, 0.2, 0.3]], np.float32)
    assert classify(values, ("a", "b", "c"), 2).tolist() == [
        ["0.700000:2:c", "0.100000:0:a"],
        ["0.500000:0:a", "0.300000:2:c"],
    ]
    assert classify(values[:1], ("a",), 3).tolist() == [["0.700000:2", "0.100000:0:a", "nan:1"]]


@pytest.mark.parametrize(("method", "path", "_text"), NOT_OFFERED)
async def test_extensions_that_are_not_offered_say_so(fleet: Fleet, method: str, path: str, _text: str) -> None:
    filled = f"/v2{path}".format(name="double", version=1)
    answer = await fleet.http.request(method, filled, json={} if method == "POST" else None)
    assert answer.status_code == 501
    assert " not " in answer.json()["error"]


async def test_the_version_is_a_parameter_of_the_versioned_path_alone(fleet: Fleet) -> None:
    paths = (await fleet.http.get("/openapi.json")).json()["paths"]
    named = {path: [each["name"] for each in paths[path]["post"]["parameters"]] for path in paths if "/infer" in path}
    assert {path: sorted({"name", "version"} & set(names)) for path, names in named.items()} == {
        "/v2/models/{name}/infer": ["name"],
        "/v2/models/{name}/versions/{version}/infer": ["name", "version"],
    }


async def test_a_version_in_the_query_is_refused_with_the_path_to_use(fleet: Fleet) -> None:
    await fleet.deploy(multiplier())
    answer = await fleet.http.post(f"{INFER}?version=1", json={"inputs": [TENSOR]})
    assert answer.status_code == 422
    assert "/versions/VERSION/infer" in answer.json()["error"]


async def test_inference_refuses_an_unknown_query_parameter_by_name(fleet: Fleet) -> None:
    await fleet.deploy(multiplier())
    for path in (INFER, INFER.replace("/infer", "/versions/1/infer")):
        answer = await fleet.http.post(f"{path}?timeout=3&empty", json={"inputs": [TENSOR]})
        assert (answer.status_code, [each["field"] for each in answer.json()["errors"]]) == (422, ["empty", "timeout"])


async def test_a_broken_body_of_the_index_is_refused(fleet: Fleet) -> None:
    for body in (b"{", b"[" * 100_000, b"[]", b'"x"', b'{"ready": 3}', b'{"reday": true}'):
        answer = await fleet.http.post("/v2/repository/index", content=body)
        assert answer.status_code == 422, body[:20]
    assert answer.json()["errors"][0]["field"] == "reday"
    for body in (b"", b"{}", b'{"ready": null}', b'{"ready": true}'):
        assert (await fleet.http.post("/v2/repository/index", content=body)).status_code == 200, body


async def test_over_grpc_an_unknown_model_is_not_ready_and_empty_contents_are_no_contents(fleet: Fleet) -> None:
    await fleet.deploy(multiplier())
    stub = GRPCInferenceServiceStub(fleet.rpc)
    assert not (await stub.ModelReady(oip.ModelReadyRequest(name="nothing"))).ready
    request = oip.ModelInferRequest(model_name="double")
    request.inputs.add(name="x", datatype="FP32", shape=[1, 4]).contents.SetInParent()
    request.raw_input_contents.append(np.ones(4, np.float32).tobytes())
    assert len((await stub.ModelInfer(request)).raw_output_contents) == 1
