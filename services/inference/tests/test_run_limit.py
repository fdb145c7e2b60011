"""A run that does not end in a thread is ended: it would hold one of a few threads that all models share."""

import numpy as np
import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.model_format.package_check import check_signature
from lepton_inference.runtimes import onnx
from lepton_inference.runtimes.run_limit import RunLimit
from services.inference.tests.packages import endless_on_ones


def test_a_run_without_end_is_ended_and_the_next_one_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "LIMIT", RunLimit(0.3, look_seconds=0.05))
    files = endless_on_ones()
    model = onnx.RUNTIME.load(files, check_signature(files["signature.json"]), 1)
    for _ in range(2):
        with pytest.raises(LeptonError, match=r"ran for more than 0\.3 s with this input") as caught:
            model.run({"x": np.ones((1, 4), np.float32)})
        assert caught.value.code is ErrorCode.INVALID
        assert model.run({"x": np.zeros((1, 4), np.float32)})["y"].shape == (1, 4)
