"""`lepton.load` answers what the server answers, bit for bit."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import helper
from PIL import Image

import lepton
from lepton_core.model_format.kinds.bodies import ABOUT
from services.inference.tests.fleet import Fleet
from services.inference.tests.packages import (
    STRING,
    Package,
    build_model,
    classifier,
    make_package,
    multiplier,
    regressor,
    spec,
    value,
)


def written(package: Package, folder: Path) -> Path:
    folder.mkdir()
    for name, data in package.items():
        (folder / name).write_bytes(data)
    return folder


def echo() -> Package:
    node = helper.make_node("Identity", ["x"], ["y"])
    model = build_model([node], [value("x", STRING, "n")], [value("y", STRING, "n")])
    return make_package(model, inputs=[spec("x", "BYTES", -1)], outputs=[spec("y", "BYTES", -1)])


def large_image() -> bytes:
    """Of another size than the model's, 16 bits, so that scaling and resizing are in play."""
    values = np.random.default_rng(0).integers(0, 65535, (37, 53)).astype(np.uint16)
    stream = io.BytesIO()
    Image.fromarray(values).save(stream, "TIFF")
    return stream.getvalue()


@pytest.mark.parametrize(
    ("package", "asked"),
    [
        (classifier(), {"image": large_image()}),
        (regressor(), {"row": {"area": "51.3", "town": "Bern", "price": 3}}),
        (multiplier(1 / 3), {"tensor": {"x": [0.1, 0.2, 1e-30, 7]}}),
        (echo(), {"text": "so be it"}),
    ],
)
async def test_the_folder_answers_as_the_server(
    fleet: Fleet, tmp_path: Path, package: Package, asked: dict[str, Any]
) -> None:
    await fleet.deploy(package)
    model = lepton.load(written(package, tmp_path / "package"))

    if "image" in asked:
        answer = await fleet.http.post(
            "/v1/deployments/double:predict", content=asked["image"], headers={"content-type": "image/tiff"}
        )
    else:
        answer = await fleet.http.post("/v1/deployments/double:predict", json=asked)
    served = {name: each for name, each in answer.json().items() if name not in ABOUT}
    assert served
    assert model.predict(**asked) == served
    ((key, example),) = asked.items()
    assert model.predict_many(**{f"{key}s": [example]}) == [served]


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    model = lepton.load(str(written(regressor(), tmp_path / "package")))
    assert model.predict_many(rows=[]) == []
    assert model.run({"area": np.array([[2.0]]), "town": np.array([["Bern"]], object)})["price"].tolist() == [[2.0]]
    for wrong, words in (({"image": b"x"}, "takes 'row', not 'image'"), ({"row": {"aera": 1}}, "aera"), ({}, "inputs")):
        with pytest.raises(lepton.LeptonError, match=words):
            model.predict(**wrong)
    with pytest.raises(lepton.LeptonError, match="is missing"):
        lepton.load(tmp_path)
