"""Requests against a signature: what is taken, and what each fault is called, whatever form the tensor came in."""

import struct
from typing import Any

import numpy as np
import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.model_format.signature import NUMPY_TYPES, Datatype, TensorSpec
from lepton_inference.tensors import InputTable, WireTensor, to_list, to_raw

NUMBERS = [datatype for datatype in Datatype if datatype not in (Datatype.BYTES, Datatype.BOOL)]


def table(datatype: Datatype = Datatype.FP32, *shape: int) -> InputTable:
    return InputTable([TensorSpec(name="x", datatype=datatype, shape=shape or (-1, 2))])


def refused(inputs: InputTable, *tensors: WireTensor) -> LeptonError:
    with pytest.raises(LeptonError) as caught:
        inputs.decode(tensors)
    assert caught.value.code is ErrorCode.INVALID
    return caught.value


@pytest.mark.parametrize("datatype", NUMBERS)
def test_every_number_type_arrives_the_same_from_a_list_nested_lists_and_bytes(datatype: Datatype) -> None:
    wanted = np.array([[1, 2], [3, 100]], NUMPY_TYPES[datatype])
    inputs = table(datatype)
    for tensor in (
        WireTensor("x", datatype, [2, 2], [1, 2, 3, 100]),
        WireTensor("x", datatype, [2, 2], [[1, 2], [3, 100]]),
        WireTensor("x", datatype, [2, 2], wanted.tobytes(), raw=True),
    ):
        found = inputs.decode([tensor])["x"]
        assert found.dtype == wanted.dtype
        np.testing.assert_array_equal(found, wanted)


def test_truth_values_and_texts() -> None:
    truths = table(Datatype.BOOL)
    for tensor in (
        WireTensor("x", "BOOL", [1, 2], [True, False]),
        WireTensor("x", "BOOL", [1, 2], b"\x01\x00", raw=True),
    ):
        assert truths.decode([tensor])["x"].tolist() == [[True, False]]
    texts = table(Datatype.BYTES)
    raw = b"".join(struct.pack("<I", len(part)) + part for part in ("é".encode(), b""))
    for tensor in (
        WireTensor("x", "BYTES", [1, 2], ["é", ""]),
        WireTensor("x", "BYTES", [1, 2], [b"\xc3\xa9", b""]),
        WireTensor("x", "BYTES", [1, 2], raw, raw=True),
    ):
        assert texts.decode([tensor])["x"].tolist() == [["é", ""]]


@pytest.mark.parametrize(
    "shape",
    [[], [2], [1, 2, 1], [1, 3], [0, 2], [-1, 2], [2**40, 2], [True, 2], [1.0, 2], ["1", 2], [None, 2], [[1], 2]],
)
def test_a_shape_that_is_not_the_signatures_is_named(shape: list[Any]) -> None:
    error = refused(table(), WireTensor("x", "FP32", shape, [1.0, 2.0]))
    assert error.fields[0].field == "inputs[0].shape"
    assert "[any, 2]" in error.fields[0].allowed


def test_a_huge_shape_allocates_nothing() -> None:
    for tensor in (
        WireTensor("x", "FP32", [2**31 - 1, 2], [1.0]),
        WireTensor("x", "FP32", [2**31 - 1, 2], b"1234", raw=True),
    ):
        assert "data" in refused(table(), tensor).fields[0].field
    texts = WireTensor("x", "BYTES", [2**31 - 1, 2], b"1234", raw=True)
    wrong = refused(table(Datatype.BYTES), texts).fields[0]
    assert "need at least" in wrong.message
    assert (wrong.field, wrong.field_path) == ("inputs[0].data", ("inputs", "0", "data"))


@pytest.mark.parametrize(
    ("datatype", "bad"),
    [
        ("FP32", "1"), ("FP32", None), ("FP32", {}), ("INT64", 1.5), ("INT64", 2**63), ("INT64", "1"), ("UINT8", 256),
        ("UINT8", -1), ("INT8", 128), ("BOOL", 1), ("BYTES", 1), ("BYTES", None), ("BYTES", b"\xff"), ("UINT64", -1),
    ],
)  # fmt: skip
def test_an_element_of_another_type_is_found(datatype: str, bad: object) -> None:
    good: Any = {"BOOL": True, "BYTES": ""}.get(datatype, 0)
    error = refused(table(Datatype(datatype)), WireTensor("x", datatype, [1, 2], [good, bad]))
    assert error.fields[0].field == "inputs[0].data[1]"


@pytest.mark.parametrize(
    "data", [[], [1.0], [1.0, 2.0, 3.0], [[1.0, 2.0, 3.0]], [[1.0], [2.0]], [[[1.0, 2.0]]], "ab", {"a": 1, "b": 2}, 7]
)
def test_elements_that_are_not_as_many_as_the_shape_says(data: Any) -> None:
    assert refused(table(), WireTensor("x", "FP32", [1, 2], data)).fields[0].field.startswith("inputs[0].data")


@pytest.mark.parametrize("data", [b"", b"1234567", b"123456789"])
def test_bytes_of_another_length(data: bytes) -> None:
    error = refused(table(), WireTensor("x", "FP32", [1, 2], data, raw=True))
    assert "8 bytes" in error.fields[0].allowed


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00" * 7,
        b"\x09\0\0\0abc\0\0\0\0",
        b"\xff\xff\xff\xff\0\0\0\0",
        b"\0\0\0\0\0\0\0\0more",
        b"\1\0\0\0\xff\0\0\0\0",
    ],
)
def test_texts_whose_lengths_do_not_add_up(data: bytes) -> None:
    assert refused(table(Datatype.BYTES), WireTensor("x", "BYTES", [1, 2], data, raw=True)).fields


def test_truth_values_other_than_0_and_1() -> None:
    assert "BOOL" in refused(table(Datatype.BOOL), WireTensor("x", "BOOL", [1, 2], b"\x01\x02", raw=True)).detail


def test_names_and_types_that_the_model_does_not_have() -> None:
    good = WireTensor("x", "FP32", [1, 2], [1.0, 2.0])
    assert refused(table(), WireTensor("z", "FP32", [1, 2], [1.0, 2.0])).fields[0].allowed == "x"
    assert refused(table(), good, good).fields[0].message == "there are two inputs of this name"
    assert refused(table(), WireTensor("x", "FP64", [1, 2], [1.0, 2.0])).fields[0].allowed == "FP32"
    assert refused(table(), WireTensor("x", "complex", [1, 2], [1.0, 2.0])).fields[0].allowed == "FP32"
    assert "'x' is missing" in refused(table()).detail


def test_inputs_of_different_batch_sizes() -> None:
    inputs = InputTable([TensorSpec(name=name, datatype=Datatype.FP32, shape=(-1, 1)) for name in "ab"])
    error = refused(inputs, WireTensor("a", "FP32", [1, 1], [1.0]), WireTensor("b", "FP32", [2, 1], [1.0, 2.0]))
    assert error.fields[0].field == "inputs[1].shape"


@pytest.mark.parametrize("datatype", [*NUMBERS, Datatype.BOOL])
def test_outputs_as_bytes_and_as_lists(datatype: Datatype) -> None:
    values = np.array([[1, 0], [1, 1]], NUMPY_TYPES[datatype])
    assert to_raw(datatype, values.T) == values.T.tobytes()
    assert to_list(datatype, values.T).tolist() == [1, 1, 0, 1]


def test_texts_as_outputs() -> None:
    values = np.array([["a", b"bc"]], object)
    assert to_raw(Datatype.BYTES, values) == b"\1\0\0\0a\2\0\0\0bc"
    assert to_list(Datatype.BYTES, values) == ["a", "bc"]
