"""Options for a requested output, for both transports, and the classification extension of the protocol.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_classification.md
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from lepton_core.errors import Location, invalid
from lepton_core.model_format.kinds.classes import CLASS
from lepton_core.model_format.signature import Signature
from lepton_inference.tensors import Array

CLASSIFICATION = "classification"


@dataclass(frozen=True, slots=True)
class RequestedOutput:
    name: str
    # As sent: the number of best classes to return instead of the tensor; None for the tensor.
    classification: Any = None


def classified_output(signature: Signature) -> str | None:
    """The output whose second dimension is the labels; None if there are no labels."""
    output = signature.outputs[0]
    is_known = signature.output_kind == CLASS.name and signature.labels and len(output.shape) == 2
    return output.name if is_known else None


def check_classification(signature: Signature, index: int, output: RequestedOutput) -> None:
    """Raises INVALID unless the output has labels and the number of classes is a whole number of at least 1."""
    field = ("outputs", index, "parameters", CLASSIFICATION)
    known = classified_output(signature)
    if output.name != known:
        allowed = f"it on output {known!r}" if known else "none: the model has no labels"
        raise invalid(field, f"the labels of output {output.name!r} are not known", output.classification, allowed)
    # `type` instead of isinstance: true is not a number.
    if type(output.classification) is not int or output.classification < 1:
        raise invalid(field, "is not a number of classes", output.classification, "a whole number of at least 1")


def classify(values: Array, labels: tuple[str, ...], count: int) -> Array:
    """(batch, labels) → (batch, count) texts "value:index:label", the largest value first and NaN last.

    If `count` is larger than the number of labels, all are returned.
    """
    scores = values.astype(np.float64)
    best = np.argsort(-scores, axis=1, kind="stable")[:, :count]
    texts = np.empty(best.shape, object)
    for (row, place), index in np.ndenumerate(best):
        text = f"{scores[row, index]:f}:{index}"
        texts[row, place] = f"{text}:{labels[index]}" if index < len(labels) else text
    return texts


def refuse_shared_memory(parameters: Iterable[str], field: Location) -> None:
    """Raises INVALID if the parameters of an input or output refer to shared memory."""
    for name in parameters:
        if name.startswith("shared_memory"):
            allowed = "elements in the request and in the answer"
            raise invalid((*field, "parameters", name[:100]), "shared memory is not supported", allowed=allowed)
