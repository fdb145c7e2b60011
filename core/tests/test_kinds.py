"""What people have becomes the model's tensors, by the same steps as in training; answers come back as words."""

import base64
import io
import math
import time
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_wine

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.model_format.features.fit import fit_numbers, fit_pixels, fit_words
from lepton_core.model_format.features.pipeline import Pipeline
from lepton_core.model_format.features.steps import FlagMissing, Transpose
from lepton_core.model_format.images import MAX_PIXELS, ImageError, decode_image, decode_with_note, image_shape
from lepton_core.model_format.kinds import decode_instances, encode_outputs
from lepton_core.model_format.kinds.port import MAX_ERRORS
from lepton_core.model_format.signature import Datatype, Signature, TensorSpec
from lepton_fixtures.packages import tensor_signature


def png(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
    return buffer.getvalue()


def tiff(values: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "TIFF")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    images: np.ndarray = np.rint(load_digits().images * 255 / 16).astype(np.uint8)
    return images


@pytest.fixture(scope="module")
def image_signature(digits: np.ndarray) -> Signature:
    return Signature(
        input_kind="image",
        output_kind="class",
        inputs=(TensorSpec(name="image", datatype=Datatype.UINT8, shape=(-1, 8, 8, 1)),),
        steps=(
            fit_pixels(digits[..., None], "image", "normalized"),
            Transpose(input="normalized", output="pixels", order=(0, 3, 1, 2)),
        ),
        model_inputs=(TensorSpec(name="pixels", datatype=Datatype.FP32, shape=(-1, 1, 8, 8)),),
        outputs=(TensorSpec(name="probabilities", datatype=Datatype.FP32, shape=(-1, 10)),),
        labels=tuple("0123456789"),
    )


def row_signature() -> Signature:
    numbers = {"age": np.array([20.0, 30.0, math.nan, 50.0]), "pay": np.array([1e9, 1e9 + 1, 1e9 + 2, 1e9 + 3])}
    steps = fit_numbers(numbers, "numbers", "missing")
    words = fit_words({"city": ["Rome", "Rome", "Oslo", "Oslo"], "note": ["?", "", "x", "y"]}, "categories", 10)
    return Signature(
        input_kind="row",
        output_kind="number",
        inputs=(
            TensorSpec(name="age", datatype=Datatype.FP64, shape=(-1, 1)),
            TensorSpec(name="pay", datatype=Datatype.FP64, shape=(-1, 1)),
            TensorSpec(name="city", datatype=Datatype.BYTES, shape=(-1, 1)),
            TensorSpec(name="note", datatype=Datatype.BYTES, shape=(-1, 1)),
        ),
        steps=(*steps, words),
        model_inputs=(
            TensorSpec(name="numbers", datatype=Datatype.FP32, shape=(-1, 2)),
            TensorSpec(name="missing", datatype=Datatype.FP32, shape=(-1, 1)),
            TensorSpec(name="categories", datatype=Datatype.INT64, shape=(-1, 2)),
        ),
        outputs=(TensorSpec(name="value", datatype=Datatype.FP32, shape=(-1, 1)),),
        target="price",
    )


def test_images_become_normalised_pixels(digits: np.ndarray, image_signature: Signature) -> None:
    files = [png(image) for image in digits[:100]]
    instances = [files[0], {"image": files[1]}, base64.b64encode(files[2]).decode(), *files[3:]]
    raw = decode_instances(image_signature, instances)
    assert raw["image"].dtype == np.uint8
    assert (raw["image"][..., 0] == digits[:100]).all()
    pixels = Pipeline.of(image_signature)({"image": digits[..., None]})["pixels"]
    assert pixels.dtype == np.float32
    assert pixels.shape == (len(digits), 1, 8, 8)
    assert abs(float(pixels.mean())) < 1e-4
    assert abs(float(pixels.std()) - 1) < 1e-4


def test_images_of_other_kinds_are_brought_to_the_models_shape() -> None:
    ramp = np.linspace(0, 255, 64).astype(np.uint8).reshape(8, 8)
    deep = png(ramp.astype(np.uint16) * 257)
    assert np.abs(decode_image(deep, 8, 8, 1)[..., 0].astype(int) - ramp).max() <= 1
    colour = png(np.stack([ramp, ramp * 0, 255 - ramp], axis=-1))
    assert image_shape(colour) == (8, 8, 3)
    assert (decode_image(colour, 8, 8, 3)[..., 0] == ramp).all()
    assert decode_image(colour, 4, 4, 1).shape == (4, 4, 1)
    transparent = png(np.zeros((8, 8, 4), np.uint8))
    assert (decode_image(transparent, 8, 8, 3) == 255).all()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([[0.0, 1.0], [0.5, 0.25]], np.float32), [[0, 255], [128, 64]]),
        (np.array([[0.0, 254.6], [127, 2]], np.float32), [[0, 255], [127, 2]]),
        (np.array([[0, 65535], [32768, 256]], np.float32), [[0, 255], [128, 1]]),
        (np.array([[5, 200], [246, 0]], np.uint16), [[5, 200], [246, 0]]),
        (np.array([[5, 65535], [32768, 0]], np.uint16), [[0, 255], [128, 0]]),
        (np.array([[5, 200], [70, 0]], np.int32), [[5, 200], [70, 0]]),
    ],
)
def test_values_of_more_than_eight_bits_are_scaled_by_the_range_they_need(values: np.ndarray, expected: Any) -> None:
    pixels, note = decode_with_note(tiff(values), 2, 2, 1)
    assert pixels[..., 0].tolist() == expected
    assert note == ""


def test_a_range_that_scaling_loses_is_noted() -> None:
    dim = np.arange(0, 400, 100, np.uint16).reshape(2, 2)
    pixels, note = decode_with_note(tiff(dim), 2, 2, 1)
    assert pixels.max() == 1
    assert "0 to 300 become 0 to 1 of 255" in note
    # One shade in the file is one shade.
    assert decode_with_note(tiff(np.full((2, 2), 300, np.uint16)), 2, 2, 1)[1] == ""


@pytest.mark.parametrize("wrong", [-0.5, math.nan, math.inf, 70_000.0])
def test_values_of_no_stated_range_are_refused(wrong: float) -> None:
    with pytest.raises(ImageError, match="allowed: 0 to 65535"):
        decode_image(tiff(np.array([[0, wrong]], np.float32)), 1, 2, 1)


def test_base64_may_come_in_lines_or_as_a_data_url(image_signature: Signature) -> None:
    text = base64.encodebytes(png(np.zeros((8, 8), np.uint8))).decode()
    assert "\n" in text
    for instance in (text, text.replace("\n", "\r\n"), f"data:image/png;base64,{text}"):
        assert decode_instances(image_signature, [instance])["image"].shape == (1, 8, 8, 1)


def test_the_pixels_of_a_request_are_bounded_before_any_is_decoded(image_signature: Signature) -> None:
    side = int(MAX_PIXELS**0.5)
    blank = png(np.zeros((side, side), bool))
    started = time.perf_counter()
    with pytest.raises(LeptonError, match="pixels together") as caught:
        decode_instances(image_signature, [blank] * 20)
    assert caught.value.code is ErrorCode.TOO_LARGE
    assert time.perf_counter() - started < 0.5
    with pytest.raises(LeptonError, match="100001 instances"):
        decode_instances(image_signature, [b""] * 100_001)


def test_a_turned_photograph_is_read_upright() -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((4, 8, 3), np.uint8)).save(buffer, "JPEG", exif=exif)
    assert image_shape(buffer.getvalue()) == (8, 4, 3)


def test_what_is_no_image_is_refused(image_signature: Signature) -> None:
    good = png(np.zeros((8, 8), np.uint8))
    side = int(MAX_PIXELS**0.5) + 10
    bomb = png(np.zeros((side, side), bool))
    for data in (b"", b"hello", good[:40], good[: len(good) // 2], b"%PDF-1.4 " * 100, bomb):
        with pytest.raises(ImageError):
            decode_image(data, 8, 8, 1)
    with pytest.raises(LeptonError) as caught:
        decode_instances(image_signature, [good, b"hello"])
    assert caught.value.fields[0].field == "instances[1].image"
    for instance in ("not base64!", {"picture": ""}, 7, None):
        with pytest.raises(LeptonError, match="image"):
            decode_instances(image_signature, [instance])


def test_rows_become_columns_with_missing_and_unseen_values() -> None:
    signature = row_signature()
    rows = [
        {"age": 30, "pay": "1000000001", "city": "Rome", "note": None, "price": 17},
        {"row": {"age": None, "city": "Atlantis", "note": "never seen"}},
        {"age": "?", "pay": 1e9, "city": "Oslo"},
    ]
    raw = decode_instances(signature, rows)
    assert raw["age"].shape == (3, 1)
    assert np.isnan(raw["age"][1:]).all()
    tensors = Pipeline.of(signature)(raw)
    assert tensors["categories"].tolist() == [[2, 1], [0, 0], [1, 1]]
    assert tensors["missing"].tolist() == [[0], [1], [1]]
    assert np.isfinite(tensors["numbers"]).all()
    # The median stands for what is missing.
    assert tensors["numbers"][0, 0] == tensors["numbers"][1, 0]
    # FP32 alone could not tell 1e9 from 1e9 + 1.
    assert tensors["numbers"][0, 1] != tensors["numbers"][2, 1]


def test_columns_may_come_as_bytes_and_flat() -> None:
    signature = row_signature()
    tensors = {
        "age": np.array([30.0, 20.0]),
        "pay": np.array([[1], [2]], np.int32),
        "city": np.array([b"Rome", b"\xff"], object),
        "note": np.array(["", "x"], object),
    }
    assert Pipeline.of(signature)(tensors)["categories"].tolist() == [[2, 1], [0, 0]]
    del tensors["city"]
    with pytest.raises(LeptonError, match="city"):
        Pipeline.of(signature)(tensors)


@pytest.mark.parametrize(
    ("row", "field", "words"),
    [
        ({"age": "old", "city": "Rome"}, "instances[0].age", "not a number"),
        ({"age": "inf", "city": "Rome"}, "instances[0].age", "not a finite number"),
        ({"age": "-1e999", "city": "Rome"}, "instances[0].age", "not a finite number"),
        ({"agee": 3, "city": "Rome"}, "instances[0].agee", "did you mean age"),
        ({"age": True}, "instances[0].age", "not a number"),
        ({"age": "1_000"}, "instances[0].age", "not a number"),
        ({"age": [1, 2]}, "instances[0].age", "single value"),
        ({}, "instances[0]", "no column"),
        ("age=3", "instances[0]", "not a row"),
    ],
)
def test_wrong_rows_are_refused_by_field(row: object, field: str, words: str) -> None:
    with pytest.raises(LeptonError) as caught:
        decode_instances(row_signature(), [row])
    assert caught.value.code is ErrorCode.INVALID
    assert caught.value.fields[0].field == field
    assert caught.value.fields[0].field_path[:2] == ("instances", "0")
    assert words in caught.value.fields[0].message + caught.value.fields[0].allowed


def test_columns_that_training_left_out_are_not_read() -> None:
    signature = row_signature().model_copy(update={"ignored": ("id", "empty")})
    kept = decode_instances(signature, [{"age": 30, "id": {"any": "thing"}, "empty": None, "price": 3}])
    assert kept.keys() == {"age", "pay", "city", "note"}
    with pytest.raises(LeptonError, match="idd"):
        decode_instances(signature, [{"age": 30, "idd": 1}])
    again = Signature.model_validate_json(signature.to_json())
    assert again == signature
    # Readers from before the field take what does not use it.
    assert "ignored" not in row_signature().to_json()


def test_many_faults_are_answered_soon_and_shortly() -> None:
    row = {f"unknown{place}": 1 for place in range(150_000)}
    started = time.perf_counter()
    with pytest.raises(LeptonError) as caught:
        decode_instances(row_signature(), [{"age": 1}, row, row])
    assert len(caught.value.fields) == MAX_ERRORS
    assert time.perf_counter() - started < 0.5
    with pytest.raises(LeptonError) as caught:
        decode_instances(row_signature(), [{"age": "x"}, {"age": 1}, {"age": "y", "pay": "z"}])
    wrong = [each.field for each in caught.value.fields]
    assert wrong == ["instances[0].age", "instances[2].age", "instances[2].pay"]


def test_fitted_numbers_are_scaled_as_they_should_be() -> None:
    data = load_wine().data
    columns = {str(place): data[:, place] for place in range(data.shape[1])}
    steps = fit_numbers(columns, "numbers", "missing")
    assert not any(isinstance(step, FlagMissing) for step in steps)
    scaled = Pipeline(steps, ["numbers"])(columns)["numbers"]
    assert np.abs(scaled.mean(axis=0)).max() < 1e-5
    assert np.abs(scaled.std(axis=0) - 1).max() < 1e-4
    constant = fit_numbers({"c": np.full(5, 3.0)}, "numbers", "missing")
    assert Pipeline(constant, ["numbers"])({"c": np.array([3.0])})["numbers"].tolist() == [[0.0]]


def test_outputs_become_answers(image_signature: Signature) -> None:
    probabilities = np.full((2, 10), 0.05, np.float32)
    probabilities[0, 7] = probabilities[1, 3] = 0.55
    first, second = encode_outputs(image_signature, {"probabilities": probabilities})
    assert (first["label"], second["label"]) == ("7", "3")
    assert sum(first["probabilities"].values()) == pytest.approx(1)
    assert encode_outputs(row_signature(), {"value": np.array([[1.5], [2.5]])}) == [{"value": 1.5}, {"value": 2.5}]


def test_plain_tensors_pass_through() -> None:
    x = TensorSpec(name="x", datatype=Datatype.FP32, shape=(-1, 2))
    signature = tensor_signature([x], [x])
    raw = decode_instances(signature, [[1, 2], {"x": [3, 4]}])
    assert raw["x"].tolist() == [[1, 2], [3, 4]]
    assert encode_outputs(signature, raw) == [{"outputs": {"x": [1, 2]}}, {"outputs": {"x": [3, 4]}}]
    for wrong in ([1, 2, 3], "text", {"y": [1, 2]}):
        with pytest.raises(LeptonError, match="x"):
            decode_instances(signature, [wrong])
