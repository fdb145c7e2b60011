"""What docs/adding-a-runtime.md says: a runtime of another package is found, and serves."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton_inference.runtimes.discovery import installed_runtimes
from services.inference.tests.fleet import Fleet
from services.inference.tests.packages import spec

MODULE = """
from lepton_core.errors import invalid


class Factor:
    def __init__(self, factor):
        self._factor = factor

    def run(self, inputs):
        return {"y": inputs["x"] * self._factor}


class FactorRuntime:
    platform = "factor"
    files = ("model.factor",)

    def check(self, files):
        if not files["model.factor"].isdigit():
            raise invalid("model.factor", "not a whole number")

    def load(self, files, signature, threads):
        return Factor(int(files["model.factor"]))


RUNTIME = FactorRuntime()
"""


@pytest.fixture
def factor_runtime(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Installed as a package is: a module, and the entry points in its metadata."""
    folder = tmp_path / "site"
    metadata = folder / "factor_runtime-1.dist-info"
    metadata.mkdir(parents=True)
    (folder / "factor_runtime.py").write_text(MODULE)
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: factor-runtime\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[lepton.runtimes]\nfactor = factor_runtime:RUNTIME\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    installed_runtimes.cache_clear()
    yield
    installed_runtimes.cache_clear()


@pytest.mark.usefixtures("factor_runtime")
async def test_an_added_runtime_serves_and_checks(fleet: Fleet) -> None:
    tensors = {"inputs": [spec("x", "FP32", -1, 4)], "outputs": [spec("y", "FP32", -1, 4)]}
    signature = json.dumps(tensors | {"model_inputs": tensors["inputs"]}).encode()
    await fleet.deploy({"model.factor": b"3", "signature.json": signature})
    assert (await fleet.http.get("/v2/models/double")).json()["platform"] == "factor"
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}
    answer = (await fleet.http.post("/v2/models/double/infer", json={"inputs": [tensor]})).json()
    assert answer["outputs"][0]["data"] == [3, 6, 9, 12]
    await fleet.deploy({"model.factor": b"many", "signature.json": signature}, "refused")
    assert "not a whole number" in (fleet.replica.repository.status("prj_a", "refused") or "")
