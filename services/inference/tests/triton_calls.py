"""What a user of tritonclient does; in a process of its own, since it brings its own copy of the protocol's messages.

`python triton_calls.py HTTP_ADDRESS GRPC_ADDRESS KEY`: prints "ok", or fails with the check that did not hold.
"""

import queue
import re
import sys
from typing import Any

import numpy as np
import pytest
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.utils import InferenceServerException


def key() -> dict[str, str]:
    """A fresh dict for each call, since the client adds to it. gRPC takes names of metadata in lower case only."""
    return {"authorization": f"Bearer {sys.argv[3]}"}


X = np.array([[1, 2, 3, 4], [5, 6, 7, 8]], np.float32)


def check_model(client: Any, name: str) -> None:
    assert client.is_server_live(headers=key())
    assert client.is_server_ready(headers=key())
    assert client.is_model_ready(name, headers=key())


def check_double(module: Any, client: Any, **binary: bool) -> None:
    tensor = module.InferInput("x", list(X.shape), "FP32")
    tensor.set_data_from_numpy(X, **binary)
    outputs = [module.InferRequestedOutput("y", **binary)]
    answer = client.infer("double", [tensor], request_id="42", outputs=outputs, headers=key(), timeout=10_000_000)
    np.testing.assert_array_equal(answer.as_numpy("y"), X * 2)
    told = answer.get_response()
    assert (told["id"] if isinstance(told, dict) else told.id) == "42"


def check_price(module: Any, client: Any, **binary: bool) -> None:
    area = module.InferInput("area", [2, 1], "FP64")
    area.set_data_from_numpy(np.array([[50.0], [60.0]]), **binary)
    town = module.InferInput("town", [2, 1], "BYTES")
    town.set_data_from_numpy(np.array([["Bern"], ["Atlantis"]], dtype=object), **binary)
    answer = client.infer("price", [area, town], headers=key())
    assert answer.as_numpy("price").ravel().tolist() == [50.0, 0.0]


def check_refused(module: Any, client: Any) -> None:
    tensor = module.InferInput("x", [1, 3], "FP32")
    tensor.set_data_from_numpy(X[:1, :3])
    for name, headers, words in (
        ("double", key(), "inputs[0].shape"),
        ("nothing", key(), "no deployment 'nothing'"),
        ("double", {}, "credentials"),
    ):
        with pytest.raises(InferenceServerException, match=re.escape(words)):
            client.infer(name, [tensor], headers=headers)


def check_classes(module: Any, client: Any, **binary: bool) -> None:
    tensor = module.InferInput("image", [1, 2, 2, 1], "UINT8")
    tensor.set_data_from_numpy(np.array([255, 255, 255, 0], np.uint8).reshape(1, 2, 2, 1), **binary)
    outputs = [module.InferRequestedOutput("probabilities", class_count=2, **binary)]
    answer = client.infer("light", [tensor], outputs=outputs, headers=key())
    # From JSON the client gives text, from the binary form bytes.
    (texts,) = answer.as_numpy("probabilities").tolist()
    found = [text.decode() if isinstance(text, bytes) else text for text in texts]
    assert found == ["0.750000:1:light", "0.250000:0:dark"]


def check_not_offered(client: Any, words: str) -> None:
    for call in (
        lambda: client.get_inference_statistics(headers=key()),
        lambda: client.get_inference_statistics("double", headers=key()),
        lambda: client.get_model_config("double", headers=key()),
        lambda: client.load_model("double", headers=key()),
        lambda: client.unload_model("double", headers=key()),
    ):
        with pytest.raises(InferenceServerException, match=words):
            call()


def check_no_stream(rpc: Any) -> None:
    answers: queue.Queue[Any] = queue.Queue()
    rpc.start_stream(lambda result, error: answers.put(error or result), headers=key())
    # The answer comes before a request.
    assert "does not offer /inference.GRPCInferenceService/ModelStreamInfer" in str(answers.get(timeout=20))
    rpc.stop_stream()


def check_no_compression(http: Any) -> None:
    tensor = over_http.InferInput("x", list(X.shape), "FP32")
    tensor.set_data_from_numpy(X)
    with pytest.raises(InferenceServerException, match="compressed bodies are not supported"):
        http.infer("double", [tensor], headers=key(), request_compression_algorithm="gzip")


def main() -> None:
    http = over_http.InferenceServerClient(sys.argv[1])
    rpc = over_grpc.InferenceServerClient(sys.argv[2])
    for client in (http, rpc):
        check_model(client, "double")
    for binary in (False, True):
        check_double(over_http, http, binary_data=binary)
        check_price(over_http, http, binary_data=binary)
    check_double(over_grpc, rpc)
    check_price(over_grpc, rpc)
    for binary in (False, True):
        check_classes(over_http, http, binary_data=binary)
    check_classes(over_grpc, rpc)
    check_not_offered(http, "not offered")
    check_not_offered(rpc, "does not offer /inference.GRPCInferenceService/")
    check_no_stream(rpc)
    check_no_compression(http)
    check_refused(over_http, http)
    check_refused(over_grpc, rpc)
    metadata = http.get_model_metadata("price", headers=key())
    assert [each["name"] for each in metadata["inputs"]] == ["area", "town"]
    assert rpc.get_model_metadata("price", headers=key(), as_json=True)["platform"] == "onnxruntime_onnx"
    assert {each["name"] for each in http.get_model_repository_index(headers=key())} == {"double", "price", "light"}
    assert http.get_server_metadata(headers=key())["name"] == "lepton-inference"
    http.close()
    rpc.close()
    sys.stdout.write("ok\n")


if __name__ == "__main__":
    main()
