"""The same request over HTTP (JSON, binary) and gRPC: the same answer, or the same error."""

import asyncio
import json
import threading
from typing import Any

import httpx
import numpy as np
import pytest

from lepton_core.errors import ERROR_TABLE, ErrorCode, LeptonError
from lepton_core.http.problems import error_from_problem
from lepton_inference.replica import MODEL_THREADS
from lepton_proto.inference import open_inference_pb2 as oip
from lepton_proto.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub
from services.inference.tests.fleet import Fleet, until
from services.inference.tests.packages import classifier, multiplier, regressor

X = np.array([[1, 2, 3, 4]], np.float32)
INFER = "/v2/models/double/infer"
TENSOR: dict[str, Any] = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}


def message(model: str = "double", **tensor: Any) -> oip.ModelInferRequest:
    """A typed request, with parts of its one tensor replaced."""
    found = TENSOR | tensor
    request = oip.ModelInferRequest(model_name=model)
    one = request.inputs.add(name=found["name"], datatype=found["datatype"], shape=found["shape"])
    (one.contents.fp64_contents if found["datatype"] == "FP64" else one.contents.fp32_contents).extend(found["data"])
    return request


async def over_http(fleet: Fleet, document: Any, path: str = INFER, **headers: str) -> LeptonError:
    content = document if isinstance(document, bytes) else json.dumps(document).encode()
    answer = await fleet.http.post(path, content=content, headers=headers)
    error = error_from_problem(answer.status_code, answer.content)
    assert answer.status_code == ERROR_TABLE[error.code].http_status
    assert answer.json()["error"] == error.detail
    return error


async def over_grpc(fleet: Fleet, request: oip.ModelInferRequest) -> LeptonError:
    with pytest.raises(LeptonError) as caught:
        await GRPCInferenceServiceStub(fleet.rpc).ModelInfer(request)
    return caught.value


async def test_json_binary_and_grpc_give_the_same_answer(fleet: Fleet) -> None:
    revision = await fleet.deploy(multiplier())
    plain = (await fleet.http.post(INFER, json={"id": "7", "inputs": [TENSOR]})).json()
    assert plain["outputs"] == [{"name": "y", "datatype": "FP32", "shape": [1, 4], "data": [2, 4, 6, 8]}]
    assert plain["id"] == "7"
    assert plain["parameters"]["revision_id"] == revision.id
    assert plain["parameters"]["prediction_id"].startswith(f"pred_{revision.id[4:]}_")

    binary = TENSOR | {"parameters": {"binary_data_size": X.nbytes}}
    del binary["data"]
    head = json.dumps({"inputs": [binary], "parameters": {"binary_data_output": True}}).encode()
    raw = await fleet.http.post(
        INFER, content=head + X.tobytes(), headers={"inference-header-content-length": str(len(head))}
    )
    size = int(raw.headers["inference-header-content-length"])
    assert json.loads(raw.content[:size])["outputs"][0]["parameters"] == {"binary_data_size": 16}
    assert np.frombuffer(raw.content[size:], np.float32).tolist() == [2, 4, 6, 8]

    stub = GRPCInferenceServiceStub(fleet.rpc)
    typed = await stub.ModelInfer(message())
    assert list(typed.outputs[0].contents.fp32_contents) == [2, 4, 6, 8]
    assert typed.parameters["revision_id"].string_param == revision.id
    request = message()
    request.inputs[0].ClearField("contents")
    request.raw_input_contents.append(X.tobytes())
    answer = await stub.ModelInfer(request)
    assert np.frombuffer(answer.raw_output_contents[0], np.float32).tolist() == [2, 4, 6, 8]
    assert (answer.model_name, answer.model_version) == ("double", "1")


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "z"}, {"datatype": "FP64"}, {"datatype": "nonsense"}, {"shape": [1, 5]}, {"shape": [-1, 4]},
        {"shape": [0, 4]}, {"shape": [2**40, 4]}, {"shape": []}, {"data": [1, 2, 3]}, {"data": []},
    ],
)  # fmt: skip
async def test_a_wrong_tensor_is_the_same_error_on_both(fleet: Fleet, wrong: dict[str, Any]) -> None:
    await fleet.deploy(multiplier())
    http = await over_http(fleet, {"inputs": [TENSOR | wrong]})
    rpc = await over_grpc(fleet, message(**wrong))
    assert http.code is rpc.code is ErrorCode.INVALID
    assert http.detail == rpc.detail
    assert http.fields == rpc.fields
    assert http.fields[0].field.startswith("inputs")


async def test_unknown_models_versions_and_outputs_are_the_same_error_on_both(fleet: Fleet) -> None:
    await fleet.deploy(multiplier())
    document = {"inputs": [TENSOR]}
    http = await over_http(fleet, document, "/v2/models/nothing/infer")
    assert http.code is ErrorCode.NOT_FOUND
    assert http.detail == (await over_grpc(fleet, message("nothing"))).detail

    request = message()
    request.model_version = "9"
    http = await over_http(fleet, document, "/v2/models/double/versions/9/infer")
    assert http.detail == (await over_grpc(fleet, request)).detail
    assert "serves version 1" in http.detail

    request = message()
    request.outputs.add(name="z")
    http = await over_http(fleet, document | {"outputs": [{"name": "z"}]})
    assert http.detail == (await over_grpc(fleet, request)).detail
    assert http.fields[0].allowed == "y"


async def test_callers_without_a_key_or_of_another_project_are_the_same_on_both(fleet: Fleet) -> None:
    await fleet.deploy(multiplier())
    for key, code in (("nothing", ErrorCode.UNAUTHENTICATED), ("lpk_x_y", ErrorCode.UNAUTHENTICATED),
                      (fleet.foreign_key, ErrorCode.NOT_FOUND)):  # fmt: skip
        http = await over_http(fleet, {"inputs": [TENSOR]}, authorization=f"Bearer {key}")
        with pytest.raises(LeptonError) as caught:
            await GRPCInferenceServiceStub(fleet.channel(key)).ModelInfer(message())
        assert http.code is caught.value.code is code
        assert http.detail == caught.value.detail


@pytest.mark.parametrize(
    "body",
    [
        b"", b"no json", b"[]", b"1", b"{}", b'{"inputs": 1}', b'{"inputs": []}', b'{"inputs": [1]}',
        b'{"inputs": [{}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [NaN, 1, 2, 3]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [Infinity, 1, 2, 3]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": 4, "data": [1, 1, 2, 3]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": "abcd"}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4]}]}',
        b'{"inputs": [{"name": 5, "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]}',
        b'{"inputs": [{"name": "x", "shape": [1, 4], "data": [1, 2, 3, 4]}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": 16}}]}',
        b'{"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": -1}}]}',
        b"[" * 100_000,
        b'{"inputs": ' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        b'\xff{"inputs": []}',
    ],
)  # fmt: skip
async def test_bodies_that_are_no_request(fleet: Fleet, body: bytes) -> None:
    await fleet.deploy(multiplier())
    assert (await over_http(fleet, body)).code is ErrorCode.INVALID


@pytest.mark.parametrize("length", ["0", "-1", "x", "9999", "9" * 4000, "1.5"])
async def test_header_lengths_that_do_not_fit(fleet: Fleet, length: str) -> None:
    await fleet.deploy(multiplier())
    body = json.dumps({"inputs": [TENSOR]}).encode()
    error = await over_http(fleet, body, **{"inference-header-content-length": length})
    assert error.fields[0].field == "inference-header-content-length"


async def test_binary_parts_that_do_not_add_up(fleet: Fleet) -> None:
    await fleet.deploy(multiplier())
    for size, sent in ((16, 15), (15, 16), (16, 17), (2**62, 16)):
        binary = {"name": "x", "datatype": "FP32", "shape": [1, 4], "parameters": {"binary_data_size": size}}
        head = json.dumps({"inputs": [binary]}).encode()
        error = await over_http(fleet, head + bytes(sent), **{"inference-header-content-length": str(len(head))})
        assert error.code is ErrorCode.INVALID


async def test_raw_contents_that_do_not_fit_over_grpc(fleet: Fleet) -> None:
    await fleet.deploy(multiplier())
    both = message()
    both.raw_input_contents.append(X.tobytes())
    assert "together with" in (await over_grpc(fleet, both)).detail
    two = message()
    two.raw_input_contents.extend([b"", b""])
    assert (await over_grpc(fleet, two)).fields[0].field == "raw_input_contents"
    other = oip.ModelInferRequest(model_name="double")
    other.inputs.add(name="x", datatype="FP32", shape=[1, 4]).contents.fp64_contents.extend([1, 2, 3, 4])
    assert (await over_grpc(fleet, other)).fields[0].allowed == "fp32_contents"
    assert "'x' is missing" in (await over_grpc(fleet, oip.ModelInferRequest(model_name="double"))).detail


async def test_a_compressed_body_is_refused(fleet: Fleet) -> None:
    await fleet.deploy(multiplier())
    error = await over_http(fleet, b"x", **{"content-encoding": "gzip"})
    assert error.code is ErrorCode.UNSUPPORTED_MEDIA


async def test_bodies_above_the_limit_are_refused_on_both(start_fleet: Any) -> None:
    fleet = await start_fleet(max_body_bytes=10_000)
    await fleet.deploy(multiplier())
    assert (await over_http(fleet, b" " * 20_000)).code is ErrorCode.TOO_LARGE
    request = message()
    request.raw_input_contents.append(bytes(20_000))
    assert (await over_grpc(fleet, request)).code is ErrorCode.TOO_LARGE


async def test_a_queue_that_is_full_answers_429_on_both(start_fleet: Any) -> None:
    """All model threads are held up: one request runs into that, one waits, and there is no place for a third."""
    fleet = await start_fleet(queue_capacity=1, inline_milliseconds=0)
    await fleet.deploy(multiplier())
    held = threading.Event()
    for _ in range(MODEL_THREADS):
        fleet.replica.executor.submit(held.wait, 30)
    stub = GRPCInferenceServiceStub(fleet.rpc)
    queue = fleet.replica.repository.find("prj_a", "double").queue
    running = asyncio.create_task(fleet.http.post(INFER, json={"inputs": [TENSOR]}))
    await until(lambda: queue.taken == 1, "the first request to run")
    waiting = asyncio.create_task(stub.ModelInfer(message()))
    await until(lambda: queue.depth == 1, "the second request to wait")
    assert (await over_http(fleet, {"inputs": [TENSOR]})).code is ErrorCode.RATE_LIMITED
    assert (await over_grpc(fleet, message())).code is ErrorCode.RATE_LIMITED
    held.set()
    assert (await running).status_code == 200
    assert (await waiting).model_name == "double"


async def test_a_client_that_hangs_up_leaves_the_queue(start_fleet: Any) -> None:
    fleet = await start_fleet(inline_milliseconds=0)
    await fleet.deploy(multiplier())
    held = threading.Event()
    for _ in range(MODEL_THREADS):
        fleet.replica.executor.submit(held.wait, 30)
    queue = fleet.replica.repository.find("prj_a", "double").queue
    running = asyncio.create_task(fleet.http.post(INFER, json={"inputs": [TENSOR]}))
    await until(lambda: queue.taken == 1, "the first request to run")
    stub = GRPCInferenceServiceStub(fleet.rpc)
    impatient = [
        asyncio.create_task(fleet.http.post(INFER, json={"inputs": [TENSOR]}, timeout=0.2)),
        asyncio.create_task(stub.ModelInfer(message(), timeout=0.2)),
        asyncio.create_task(
            fleet.http.post(INFER, json={"inputs": [TENSOR], "parameters": {"timeout": 200_000}}, timeout=20)
        ),
    ]
    gave_up = await asyncio.gather(*impatient[:2], return_exceptions=True)
    assert isinstance(gave_up[0], httpx.ReadTimeout)
    assert isinstance(gave_up[1], LeptonError)
    assert gave_up[1].code is ErrorCode.TIMEOUT
    await until(lambda: queue.depth == 1, "the two to leave the queue")
    deadline = asyncio.get_running_loop().time() + 0.2
    await until(lambda: asyncio.get_running_loop().time() > deadline, "the third one's deadline to pass")
    held.set()
    assert (await running).status_code == 200
    assert (await impatient[2]).status_code == 504
    assert queue.taken == 1


async def test_what_the_server_says_of_itself_and_its_models(fleet: Fleet) -> None:
    stub = GRPCInferenceServiceStub(fleet.rpc)
    assert not (await stub.ServerReady(oip.ServerReadyRequest())).ready
    assert (await fleet.http.get("/v2/health/ready")).status_code == 503
    await fleet.deploy(regressor(), "price", version=3)
    assert (await stub.ServerReady(oip.ServerReadyRequest())).ready
    assert (await stub.ServerLive(oip.ServerLiveRequest())).live
    for path in ("/v2/health/live", "/v2/health/ready", "/v2/models/price/ready", "/v2/models/price/versions/3/ready"):
        assert (await fleet.http.get(path)).status_code == 200
    metadata = (await fleet.http.get("/v2/models/price")).json()
    rpc = await stub.ModelMetadata(oip.ModelMetadataRequest(name="price"))
    assert metadata["versions"] == list(rpc.versions) == ["3"]
    inputs = [{"name": each.name, "datatype": each.datatype, "shape": list(each.shape)} for each in rpc.inputs]
    assert metadata["inputs"] == inputs
    assert inputs[1] == {"name": "town", "datatype": "BYTES", "shape": [-1, 1]}
    assert (await fleet.http.get("/v2")).json()["extensions"] == [
        "binary_tensor_data",
        "classification",
        "model_repository",
    ]
    index = (await fleet.http.post("/v2/repository/index")).json()
    assert index == [{"name": "price", "version": "3", "state": "READY", "reason": ""}]
    assert len((await stub.RepositoryIndex(oip.RepositoryIndexRequest())).models) == 1
    assert (await fleet.http.get("/v2/models/none/ready")).status_code == 404


async def test_rows_columns_and_strings_over_the_protocol(fleet: Fleet) -> None:
    await fleet.deploy(regressor(), "price")
    columns = [
        {"name": "area", "datatype": "FP64", "shape": [2, 1], "data": [50.0, 60.0]},
        {"name": "town", "datatype": "BYTES", "shape": [2, 1], "data": ["Bern", "Atlantis"]},
    ]
    answer = (await fleet.http.post("/v2/models/price/infer", json={"inputs": columns})).json()
    assert answer["outputs"][0]["data"] == [50.0, 0.0]


async def test_an_image_over_the_protocol_and_over_predict_agree(fleet: Fleet) -> None:
    await fleet.deploy(classifier(), "light")
    pixels = {"name": "image", "datatype": "UINT8", "shape": [1, 2, 2, 1], "data": [255, 255, 255, 0]}
    answer = (await fleet.http.post("/v2/models/light/infer", json={"inputs": [pixels]})).json()
    np.testing.assert_allclose(answer["outputs"][0]["data"], [0.25, 0.75], rtol=1e-6)
