"""A kind of another package: found by its entry point, served by inference, asked by the command line's code."""

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from onnx import helper
from typer.testing import CliRunner, Result

from lepton.cli.predict import predict_command
from lepton.cli.snippets import command_to_try
from lepton_core.model_format.kinds import input_kinds, kinds_for, output_kinds
from lepton_core.model_format.kinds.bodies import answer_schema, request_body
from lepton_core.model_format.package_check import check_signature
from services.inference.tests.fleet import Fleet
from services.inference.tests.packages import FLOAT, Package, build_model, make_package, spec, value

KIND = """
from lepton_core.errors import invalid
from lepton_core.model_format.kinds.port import InputKind, Option, OutputKind


class Colour(InputKind):
    name = "colour"
    one, many = "colour", "colours"
    media_types = ("text/x-colour",)
    options = (Option("colour", "#RRGGBB", "A colour.", str),)
    schema = {"type": "string", "pattern": "^#[0-9a-f]{6}$"}
    example = "#ff0000"

    def decode(self, signature, instances):
        import numpy as np

        rows = []
        for index, each in enumerate(instances):
            text = each.decode() if isinstance(each, bytes) else each
            try:
                rows.append(list(bytes.fromhex(text[1:])))
            except ValueError:
                raise invalid(f"instances[{index}].colour", "not a colour", text, "#rrggbb") from None
        return {signature.inputs[0].name: np.array(rows, np.float32)}

    def to_json(self, value):
        return str(value)

    def arguments_to_try(self, signature, card, folder):
        return ["--colour", "#ff0000"]


class Mixture(OutputKind):
    name = "mixture"
    key = "mixed"
    properties = {"mixed": {"type": "array", "items": {"type": "number"}}}
    example = {"mixed": [255, 0, 0]}

    def encode(self, signature, outputs):
        return [{"mixed": row} for row in outputs[signature.outputs[0].name].tolist()]

    def text(self, answer):
        return "mixed: " + ", ".join(f"{each:g}" for each in answer["mixed"])


COLOUR, MIXTURE = Colour(), Mixture()
"""
POINTS = "[lepton.input_kinds]\ncolour = added_kind:COLOUR\n[lepton.output_kinds]\nmixture = added_kind:MIXTURE\n"


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    info = tmp_path / "added_kind-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: added-kind\nVersion: 1\n")
    (info / "entry_points.txt").write_text(POINTS)
    (tmp_path / "added_kind.py").write_text(KIND)
    monkeypatch.syspath_prepend(str(tmp_path))
    _forget()
    yield
    _forget()
    sys.modules.pop("added_kind", None)


def _forget() -> None:
    input_kinds.cache_clear()
    output_kinds.cache_clear()


def doubler() -> Package:
    node = helper.make_node("Add", ["x", "x"], ["y"])
    model = build_model([node], [value("x", FLOAT, "n", 3)], [value("y", FLOAT, "n", 3)])
    inputs, outputs = [spec("x", "FP32", -1, 3)], [spec("y", "FP32", -1, 3)]
    return make_package(model, input_kind="colour", output_kind="mixture", inputs=inputs, outputs=outputs)


@pytest.mark.usefixtures("installed")
async def test_an_added_kind_is_served(fleet: Fleet) -> None:
    await fleet.deploy(doubler(), "mix")
    url = "/v1/deployments/mix:predict"
    assert (await fleet.http.post(url, json={"colour": "#010203"})).json()["mixed"] == [2, 4, 6]
    several = (await fleet.http.post(url, json={"colours": ["#010203", "#ff0000"]})).json()["predictions"]
    assert [each["mixed"] for each in several] == [[2, 4, 6], [510, 0, 0]]
    file = await fleet.http.post(url, content=b"#000001", headers={"content-type": "text/x-colour"})
    assert file.json()["mixed"] == [0, 0, 2]
    wrong = (await fleet.http.post(url, json={"colour": "#xx"})).json()
    assert wrong["errors"][0]["field"] == "instances[0].colour"
    assert "colour, colours, instances" in str((await fleet.http.post(url, json={"row": {}})).json())


@pytest.mark.usefixtures("installed")
async def test_an_added_kind_is_asked_by_the_command(fleet: Fleet, tmp_path: Path) -> None:
    await fleet.deploy(doubler(), "mix")
    environment = {"LEPTON_URL": str(fleet.http.base_url), "LEPTON_API_KEY": fleet.key, "LEPTON_HOME": str(tmp_path)}
    app = typer.Typer()
    app.command()(predict_command())

    def command(*arguments: str) -> Result:
        return CliRunner().invoke(app, list(arguments), env=environment)

    shown = await asyncio.to_thread(command, "mix", "--colour", "#010203")
    assert "mixed: 2, 4, 6" in shown.stdout, shown.output
    signature = check_signature(doubler()["signature.json"]).model_dump(mode="json")
    assert command_to_try("mix", signature, {}, tmp_path) == "lepton predict mix --colour '#ff0000'"


@pytest.mark.usefixtures("installed")
def test_an_added_kind_is_in_the_api_document() -> None:
    assert "text/x-colour" in request_body()["content"]
    assert "mixed" in str(answer_schema())
    signature = check_signature(doubler()["signature.json"])
    assert [kind.name for kind in kinds_for(signature)] == ["colour"]
