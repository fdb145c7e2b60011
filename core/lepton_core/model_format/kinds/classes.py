"""Classes: one of several labels, with the probability of each."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lepton_core.model_format.kinds.port import OutputKind
from lepton_core.model_format.signature import Signature

if TYPE_CHECKING:
    from numpy.typing import NDArray


class ClassOutput(OutputKind):
    """{"label": "7", "probabilities": {"0": 0.01, …}} from probabilities (batch, labels)."""

    name = "class"
    key = "label"
    properties = {
        "label": {"type": "string", "description": "The most probable label."},
        "probabilities": {"type": "object", "additionalProperties": {"type": "number"}},
    }
    example = {"label": "7", "probabilities": {"7": 0.998, "9": 0.002}}

    def encode(self, signature: Signature, outputs: "Mapping[str, NDArray[Any]]") -> list[dict[str, Any]]:
        import numpy as np

        probabilities = np.asarray(outputs[signature.outputs[0].name], np.float64)
        labels = signature.labels or tuple(map(str, range(probabilities.shape[1])))
        return [
            {"label": labels[int(row.argmax())], "probabilities": dict(zip(labels, row.tolist(), strict=True))}
            for row in probabilities
        ]

    def text(self, answer: Mapping[str, Any]) -> str:
        return str(answer["label"])

    def line(self, answer: Mapping[str, Any]) -> str:
        scores = self.scores(answer)
        return f"{self.text(answer)}\t{scores[0][1]:.3f}" if scores else self.text(answer)

    def scores(self, answer: Mapping[str, Any]) -> list[tuple[str, float]]:
        # A probability that is not a number is null in JSON.
        found = [(label, value) for label, value in (answer.get("probabilities") or {}).items() if value is not None]
        return sorted(found, key=lambda item: -item[1])


CLASS = ClassOutput()
