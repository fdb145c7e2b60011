"""What a runtime must do. `docs/adding-a-runtime.md` says how to add one."""

from collections.abc import Mapping
from typing import Any, Protocol

from numpy.typing import NDArray

from lepton_core.model_format.signature import Signature

Array = NDArray[Any]


class LoadedModel(Protocol):
    """Safe to call from several threads."""

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """One batch of the signature's `model_inputs` → its `outputs`. Raises INVALID when the model refuses it."""
        ...


class Runtime(Protocol):
    """What an entry point of the group `lepton.runtimes` names."""

    # What the Open Inference Protocol tells clients.
    platform: str
    # The files of a package that it takes; it serves the packages that hold all of them.
    files: tuple[str, ...]

    def check(self, files: Mapping[str, bytes]) -> None:
        """Raises INVALID when a file is not what its name says. Loads and runs nothing."""
        ...

    def load(self, files: Mapping[str, bytes], signature: Signature, threads: int) -> LoadedModel:
        """`threads` 0 leaves the number to the runtime. Raises INVALID when the model is not the signature's."""
        ...
