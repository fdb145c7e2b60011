"""What a runtime must do."""

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

Array = NDArray[Any]


class Runtime(Protocol):
    """Safe to call from several threads; `platform` is what the Open Inference Protocol tells clients."""

    platform: str

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """One batch of the signature's `model_inputs` → its `outputs`. Raises INVALID when the model refuses it."""
        ...
