"""The interface of a runtime. `docs/adding-a-runtime.md` explains how to add one."""

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from lepton_core.model_format.signature import Signature

Array = NDArray[Any]


class LoadedModel(Protocol):
    """A loaded model. Several threads may call it at the same time."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Runs one batch: arrays of the signature's `model_inputs` by name → arrays of its `outputs`, batch dimension
        first. Raises INVALID if the model refuses the input."""
        ...


class Runtime(Protocol):
    """The object that an entry point of the group `lepton.runtimes` refers to."""

    # The `platform` in the model metadata of the Open Inference Protocol.
    platform: str
    # The files that it needs; it serves the packages that contain all of them.
    files: tuple[str, ...]

    def check(self, files: Mapping[str, bytes]) -> None:
        """Checks the files without loading them. Raises INVALID if the content of a file does not match its name."""
        ...

    def load(self, files: Mapping[str, bytes], signature: Signature, threads: int) -> LoadedModel:
        """Loads a model. `threads` 0: the runtime's default. Raises INVALID if it does not match the signature."""
        ...
