"""The formats of model files that a package may hold, by the endings of their names. Needs no torch or onnx.

Core, registry, SDK, trainer and the runtimes of inference all check files through these objects. A format of another
package is found by the entry point `lepton.model_formats`: docs/adding-a-runtime.md.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from pathlib import Path

from lepton_core.model_format.onnx_check import check_onnx
from lepton_core.model_format.safetensors_check import check_safetensors


@dataclass(frozen=True, slots=True)
class ModelFormat:
    """`check` raises INVALID unless the file is what its ending says; it never loads or runs it."""

    ending: str
    check: Callable[[Path], None]
    # The name that the file has when a runtime can serve it; empty for weights alone.
    model_file: str = ""


ONNX = ModelFormat(".onnx", check_onnx, "model.onnx")
SAFETENSORS = ModelFormat(".safetensors", check_safetensors)
GROUP = "lepton.model_formats"


@cache
def formats() -> tuple[ModelFormat, ...]:
    """The built-in formats, then those of installed packages."""
    return (ONNX, SAFETENSORS, *(point.load() for point in entry_points(group=GROUP)))


def format_of(name: str) -> ModelFormat | None:
    """The format of a file, by its name; None for a file of no known format."""
    return next((each for each in formats() if name.endswith(each.ending)), None)


def endings() -> tuple[str, ...]:
    return tuple(each.ending for each in formats())


def model_files() -> tuple[str, ...]:
    """A package needs at least one file of these names."""
    return tuple(each.model_file for each in formats() if each.model_file)
