"""Rows and images of Python programs: numpy, pandas, Polars, Pillow."""

import base64
import datetime as dt
import decimal
import io
from collections import namedtuple
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

from lepton_core.errors import LeptonError
from lepton_core.model_format.images import decode_image
from lepton_core.model_format.kinds.image import IMAGE
from lepton_core.model_format.kinds.row import ROW

RED = np.zeros((2, 3, 3), np.uint8)
RED[..., 0] = 255


def test_rows_of_many_makes() -> None:
    wanted = {"age": 41, "job": "nurse", "pay": None}
    frame = pl.DataFrame([wanted])
    named = namedtuple("named", wanted)(**wanted)  # noqa: PYI024 - what pandas' itertuples gives
    for row in (wanted, frame, frame.row(0, named=True), named, {**wanted, "age": np.int64(41), "pay": np.nan}):
        assert ROW.to_json(row) == wanted
    assert ROW.list_to_json(frame) == ROW.list_to_json([wanted]) == [wanted]
    for wrong in (frame.vstack(frame), [1], "x", 5):
        with pytest.raises(LeptonError, match="not a row"):
            ROW.to_json(wrong)


def test_pandas_frames() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"age": [41, 3], "job": ["nurse", None], "day": [pandas.Timestamp(2024, 2, 3), pandas.NaT]}
    )
    rows = ROW.list_to_json(frame)
    assert rows == [
        {"age": 41, "job": "nurse", "day": "2024-02-03T00:00:00"},
        {"age": 3, "job": None, "day": None},
    ]
    assert ROW.to_json(frame.iloc[0]) == rows[0]
    assert ROW.to_json(frame.iloc[1:]) == rows[1]


def test_values_of_a_row_are_plain() -> None:
    values = {
        "a": np.float32(0.5), "b": np.bool_(True), "c": np.str_("x"), "d": b"y", "e": dt.date(2024, 2, 3),
        "f": decimal.Decimal("1.10"), "g": np.array(3), "h": float("nan"),
    }  # fmt: skip
    row = ROW.to_json(values)
    assert row == {"a": 0.5, "b": True, "c": "x", "d": "y", "e": "2024-02-03", "f": "1.10", "g": 3, "h": None}
    assert {type(value) for value in row.values()} == {float, bool, str, np.str_, int, type(None)}


def test_images_of_many_makes(tmp_path: Path) -> None:
    stream = io.BytesIO()
    Image.fromarray(RED).save(stream, "PNG")
    file = tmp_path / "red.png"
    file.write_bytes(stream.getvalue())
    given: list[Any] = [file, str(file), stream.getvalue(), Image.fromarray(RED), RED, io.BytesIO(stream.getvalue())]
    for image in given:
        assert (decode_image(base64.b64decode(IMAGE.to_json(image)), 2, 3, 3) == RED).all()
    floats = base64.b64decode(IMAGE.to_json(Image.fromarray(np.full((2, 2), 0.5, np.float32))))
    assert (decode_image(floats, 2, 2, 1) == 128).all()
    for wrong in (SimpleNamespace(), 5, np.zeros((2, 2, 2, 2), np.uint8)):
        with pytest.raises(LeptonError, match="not an image"):
            IMAGE.to_json(wrong)
    with pytest.raises(LeptonError, match="No such file"):
        IMAGE.to_json(tmp_path / "none.png")
