"""The exported graph answers what PyTorch answers, or there is no export."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.model_format.signature import Datatype, Signature, TensorSpec
from lepton_trainer.training.export import export_onnx
from lepton_trainer.training.loader import TensorExamples

FEATURES = TensorSpec(name="features", datatype=Datatype.FP32, shape=(-1, 4))
SIGNATURE = Signature(
    inputs=(FEATURES,),
    model_inputs=(FEATURES,),
    outputs=(TensorSpec(name="scores", datatype=Datatype.FP32, shape=(-1, 3)),),
)


@pytest.fixture
def examples() -> TensorExamples:
    features = torch.rand(40, 4, generator=torch.Generator().manual_seed(1))
    return TensorExamples((features,), torch.zeros(40, dtype=torch.int64))


class Scores(nn.Module):
    """`drift`: by how much it answers otherwise while it is exported, as an operator with a wrong translation would."""

    def __init__(self, drift: float = 0.0) -> None:
        super().__init__()
        self.scores = nn.Linear(4, 3)
        self.drift = drift

    def forward(self, *inputs: Tensor) -> Tensor:
        scores: Tensor = self.scores(*inputs)
        return scores + self.drift if torch.compiler.is_exporting() else scores


def test_a_graph_that_answers_otherwise_than_pytorch_is_refused(examples: TensorExamples, tmp_path: Path) -> None:
    with pytest.raises(LeptonError, match="differs from the trained one") as caught:
        export_onnx(Scores(drift=0.01), SIGNATURE, examples, tmp_path / "model.onnx")
    assert caught.value.code is ErrorCode.INTERNAL


def test_a_faithful_graph_takes_batches_of_any_size(examples: TensorExamples, tmp_path: Path) -> None:
    model = Scores()
    assert export_onnx(model, SIGNATURE, examples, tmp_path / "model.onnx") < 1e-5
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    for size in (1, 7, 40):
        features = examples.inputs[0][:size]
        (given,) = session.run(["scores"], {"features": features.numpy()})
        assert np.allclose(given, model(features).detach().numpy(), atol=1e-5)
