"""Whether the files of a model package are what their names say, before anything loads them. Needs no torch or onnx.

A pickle renamed to .onnx or .safetensors is code; an ONNX file may name data in other files, at any path. Both are
refused here, by reading the formats themselves, bounded.
"""

from pathlib import Path

from lepton_core.errors import invalid
from lepton_core.model_format.formats import format_of, model_files
from lepton_core.model_format.signature import Signature
from lepton_core.validation import parse

MAX_SIGNATURE_BYTES = 64 * 1024 * 1024


def check_package(folder: Path) -> Signature:
    """A folder with signature.json, a model file, and whatever else; each file of a known format is checked."""
    if not any((folder / name).is_file() for name in model_files()):
        raise invalid("package", f"{model_files()[0]} is missing", allowed=" or ".join(model_files()))
    if not (folder / "signature.json").is_file():
        raise invalid("package", "signature.json is missing", allowed="a model file and signature.json")
    for path in sorted(folder.rglob("*")):
        if known := format_of(path.name):
            known.check(path)
    return check_signature((folder / "signature.json").read_bytes())


def check_signature(document: bytes | str) -> Signature:
    """The signature in a signature.json. Raises INVALID naming what is wrong in it."""
    if len(document) > MAX_SIGNATURE_BYTES:
        raise invalid("signature.json", f"has {len(document)} bytes", allowed=f"at most {MAX_SIGNATURE_BYTES}")
    return parse(Signature, document, prefix=("signature.json",))
