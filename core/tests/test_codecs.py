"""What people have becomes the model's tensors, by the same steps as in training; answers come back as words."""

import base64
import io
import math

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits, load_wine

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.model_format.codecs import decode_instances, encode_outputs
from lepton_core.model_format.features.fit import fit_numbers, fit_pixels, fit_words
from lepton_core.model_format.features.pipeline import Pipeline
from lepton_core.model_format.features.steps import FlagMissing, Transpose
from lepton_core.model_format.images import MAX_PIXELS, ImageError, decode_image, image_shape
from lepton_core.model_format.signature import Datatype, Signature, TensorSpec, tensor_signature


def png(pixels: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", **options)
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
    assert words in caught.value.fields[0].message + caught.value.fields[0].allowed


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
    assert encode_outputs(signature, raw) == [{"x": [1, 2]}, {"x": [3, 4]}]
    for wrong in ([1, 2, 3], "text", {"y": [1, 2]}):
        with pytest.raises(LeptonError, match="x"):
            decode_instances(signature, [wrong])
