"""Texts and plain tensors are taken as they are meant, and refused by element where they do not fit."""

from typing import Any

import numpy as np
import pytest

from lepton_core.errors import LeptonError
from lepton_core.model_format.kinds import decode_instances, kinds_for
from lepton_core.model_format.kinds.bodies import question_of_file, question_of_json
from lepton_core.model_format.signature import Datatype, Signature, TensorSpec
from lepton_fixtures.packages import tensor_signature


def takes(*tensors: tuple[str, str, tuple[int, ...]], **more: Any) -> Signature:
    specs = [TensorSpec(name=name, datatype=Datatype(datatype), shape=shape) for name, datatype, shape in tensors]
    return tensor_signature(specs, specs, **more)


@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
@pytest.mark.parametrize("kind", ["tensor", "text"])
def test_a_model_of_one_text_is_asked_by_text(kind: str, shape: tuple[int, ...]) -> None:
    signature = takes(("x", "BYTES", shape), input_kind=kind)
    assert {each.name for each in kinds_for(signature)} == {"text", "tensor"}
    for question in (
        question_of_json(signature, {"text": "good"}),
        question_of_json(signature, {"texts": [{"text": "good"}]}),
        question_of_file(signature, "text/plain", b"good"),
    ):
        assert question.kind.name == "text"
        raw = decode_instances(signature, question.instances, question.kind)["x"]
        assert (raw.shape, raw.dtype, raw.reshape(-1).tolist()) == ((1, *shape[1:]), object, ["good"])


@pytest.mark.parametrize(
    ("instance", "words"), [(5, "not a text"), (b"\xff", "not UTF-8"), ({"txt": "a"}, "not a text")]
)
def test_what_is_no_text_is_refused(instance: Any, words: str) -> None:
    with pytest.raises(LeptonError, match=words) as caught:
        decode_instances(takes(("x", "BYTES", (-1,)), input_kind="text"), ["a", instance])
    assert caught.value.fields[0].field == "instances[1].text"


@pytest.mark.parametrize(
    ("datatype", "values", "expected"),
    [
        ("INT64", [1, 2.0], [1, 2]),
        ("FP32", [1, 2.5], [1.0, 2.5]),
        ("UINT8", [0, 255.0], [0, 255]),
        ("BOOL", [True, False], [True, False]),
        ("BYTES", ["a", "ab"], ["a", "ab"]),
        ("FP64", [1e308, 2**53], [1e308, 2**53]),
    ],
)
def test_elements_that_fit(datatype: str, values: list[Any], expected: list[Any]) -> None:
    signature = takes(("x", datatype, (-1, 2)))
    assert decode_instances(signature, [values])["x"].tolist() == [expected]
    assert decode_instances(signature, [{"x": values}])["x"].shape == (1, 2)


@pytest.mark.parametrize(
    ("datatype", "values", "words"),
    [
        ("INT64", [1, 1.5], "element 1 does not fit INT64"),
        ("INT64", [1, 2**63], "element 1 does not fit INT64"),
        ("INT64", [1, float("nan")], "element 1 does not fit INT64"),
        ("UINT8", [0, -1], "element 1 does not fit UINT8"),
        ("INT32", [1, "2"], "element 1 is not of type INT32"),
        ("FP32", [1, True], "element 1 is not of type FP32"),
        ("FP32", [1, None], "element 1 is not of type FP32"),
        ("FP32", [1, 1e300], "too large for FP32"),
        ("BOOL", [True, 1], "element 1 is not of type BOOL"),
        ("BYTES", ["a", 1], "element 1 is not of type BYTES"),
        ("FP32", [[1], [1, 2]], "different lengths"),
        ("FP32", [1, 2, 3], "wrong shape"),
        ("FP32", {"y": [1, 2]}, "no such input"),
    ],
)
def test_elements_that_do_not_fit_are_named(datatype: str, values: Any, words: str) -> None:
    with pytest.raises(LeptonError, match=words) as caught:
        decode_instances(takes(("x", datatype, (-1, 2))), [values])
    assert caught.value.fields[0].allowed


def test_python_values_become_json() -> None:
    (kind,) = kinds_for(takes(("a", "FP32", (-1, 2)), ("b", "INT64", (-1,))))
    batch = {"a": np.arange(4, dtype=np.float32).reshape(2, 2), "b": np.array([7, 8])}
    assert kind.list_to_json(batch) == [{"a": [0, 1], "b": 7}, {"a": [2, 3], "b": 8}]
    assert kind.list_to_json(batch["a"]) == [[0, 1], [2, 3]]
    assert kind.to_json((np.float32(0.5), 2)) == [0.5, 2]
    with pytest.raises(LeptonError, match="different size"):
        kind.list_to_json({"a": [1], "b": [1, 2]})
