"""`:predict`: what people have in, words out."""

import base64
import io
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from lepton_core.errors import ErrorCode
from lepton_core.http.problems import error_from_problem
from services.inference.tests.fleet import Fleet
from services.inference.tests.packages import classifier, multiplier, regressor


def png(*pixels: int) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.array(pixels, np.uint8).reshape(2, 2)).save(stream, "PNG")
    return stream.getvalue()


LIGHT = png(255, 255, 255, 0)
LIGHT_TEXT = base64.b64encode(LIGHT).decode()


async def predict(fleet: Fleet, name: str, **request: Any) -> httpx.Response:
    return await fleet.http.post(f"/v1/deployments/{name}:predict", **request)


async def refused(fleet: Fleet, name: str, **request: Any) -> Any:
    answer = await predict(fleet, name, **request)
    return error_from_problem(answer.status_code, answer.content)


@pytest.mark.parametrize(
    "request_",
    [
        {"content": LIGHT, "headers": {"content-type": "image/png"}},
        {"content": LIGHT, "headers": {"content-type": "application/octet-stream"}},
        {"json": {"image": LIGHT_TEXT}},
    ],
)
async def test_one_image(fleet: Fleet, request_: dict[str, Any]) -> None:
    revision = await fleet.deploy(classifier(), "light", version=4)
    answer = (await predict(fleet, "light", **request_)).json()
    assert answer["label"] == "light"
    assert answer["probabilities"] == pytest.approx({"dark": 0.25, "light": 0.75})
    assert (answer["model"], answer["model_version"]) == ("numbers", 4)
    assert answer["model_version_id"] == revision.version_id
    assert answer["prediction_id"].startswith(f"pred_{revision.id[4:]}_")


async def test_several_images_and_rows_answer_each_by_itself(fleet: Fleet) -> None:
    await fleet.deploy(classifier(), "light")
    await fleet.deploy(regressor(), "price")
    dark = base64.b64encode(png(0, 0, 0, 0)).decode()
    found = (await predict(fleet, "light", json={"images": [LIGHT_TEXT, dark]})).json()["predictions"]
    assert [each["label"] for each in found] == ["light", "dark"]
    assert len({each["prediction_id"] for each in found}) == 2
    rows = [{"area": 50, "town": "Bern"}, {"town": "Bern"}, {"area": "80", "town": "Atlantis"}]
    found = (await predict(fleet, "price", json={"rows": rows})).json()["predictions"]
    assert [each["value"] for each in found] == [50.0, 7.0, 0.0]
    assert (await predict(fleet, "price", json={"row": rows[0]})).json()["value"] == 50.0


async def test_plain_tensors(fleet: Fleet) -> None:
    await fleet.deploy(multiplier())
    found = (await predict(fleet, "double", json={"instances": [[1, 2, 3, 4]]})).json()
    assert found["predictions"][0]["outputs"] == {"y": [2, 4, 6, 8]}


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"image": "*** no base64 ***"}, "instances[0].image"),
        ({"image": base64.b64encode(b"no image").decode()}, "instances[0].image"),
        ({"image": base64.b64encode(LIGHT[:40]).decode()}, "instances[0].image"),
        ({"image": 5}, "instances[0].image"),
        ({"images": []}, "images"),
        ({"images": LIGHT_TEXT}, "images"),
        ({"row": {"area": 1}}, "row"),
        ({"picture": LIGHT_TEXT}, "picture"),
        ({"image": LIGHT_TEXT, "row": {}}, "body"),
        ({}, "body"),
        ([LIGHT_TEXT], "body"),
    ],
)
async def test_bodies_for_an_image_model_that_cannot_be_read(fleet: Fleet, body: Any, field: str) -> None:
    await fleet.deploy(classifier(), "light")
    error = await refused(fleet, "light", json=body)
    assert error.code is ErrorCode.INVALID
    assert error.fields[0].field == field


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"area": "wide", "town": "Bern"}, "instances[0].area"),
        ({"aera": 5, "town": "Bern"}, "instances[0].aera"),
        ({"area": [5], "town": "Bern"}, "instances[0].area"),
        ({}, "instances[0]"),
        ("Bern", "instances[0]"),
    ],
)
async def test_rows_that_do_not_fit_the_table(fleet: Fleet, row: Any, field: str) -> None:
    await fleet.deploy(regressor(), "price")
    error = await refused(fleet, "price", json={"row": row})
    assert error.code is ErrorCode.INVALID
    assert error.fields[0].field == field


async def test_other_bodies_and_places(fleet: Fleet) -> None:
    await fleet.deploy(classifier(), "light")
    await fleet.deploy(regressor(), "price")
    unknown, text = {"content-type": "application/xml"}, {"content-type": "text/plain"}
    assert (await refused(fleet, "light", content=b"x", headers=unknown)).code is ErrorCode.UNSUPPORTED_MEDIA
    assert "takes 'image', not 'text'" in (await refused(fleet, "light", content=b"x", headers=text)).detail
    assert (await refused(fleet, "light", content=b"{", headers={})).code is ErrorCode.INVALID
    image = {"content": LIGHT, "headers": {"content-type": "image/png"}}
    assert (await refused(fleet, "price", **image)).code is ErrorCode.INVALID
    assert (await refused(fleet, "price", json={"image": LIGHT_TEXT})).fields[0].allowed == "row, rows, instances"
    assert (await refused(fleet, "nothing", **image)).code is ErrorCode.NOT_FOUND
    fleet.http.headers["authorization"] = f"Bearer {fleet.foreign_key}"
    assert (await refused(fleet, "light", **image)).code is ErrorCode.NOT_FOUND
