"""Generate the Python code of every contract, or (`--check`) say which committed files are stale.

Runs in the environment of `generator.txt`. Messages and their stubs come from protoc; stubs of services come from
mypy-protobuf, since protoc writes none and untyped servicers would escape mypy.
"""

from __future__ import annotations

import argparse
import filecmp
import shutil
import sys
import tempfile
from pathlib import Path

import grpc_tools
from grpc_tools import protoc

ROOT = Path(__file__).resolve().parent
PACKAGE = "lepton_proto"
PATTERNS = ("*_pb2.py", "*_pb2.pyi", "*_pb2_grpc.py", "*_pb2_grpc.pyi")


def generated(root: Path) -> set[Path]:
    return {path.relative_to(root) for pattern in PATTERNS for path in (root / PACKAGE).rglob(pattern)}


def generate(target: Path) -> None:
    """Write code for every .proto below ROOT into `target`. Raises RuntimeError when protoc refuses."""
    sources = sorted(path.relative_to(ROOT) for path in (ROOT / PACKAGE).rglob("*.proto"))
    services = [path for path in sources if "\nservice " in (ROOT / path).read_text(encoding="utf-8")]
    well_known = str(Path(grpc_tools.__file__).parent / "_proto")
    includes = [f"--proto_path={ROOT}", f"--proto_path={well_known}"]
    plugin = f"--plugin=protoc-gen-mypy_grpc={Path(sys.executable).parent / 'protoc-gen-mypy_grpc'}"
    messages = [f"--python_out={target}", f"--pyi_out={target}"]
    stubs = [plugin, f"--grpc_python_out={target}", f"--mypy_grpc_out=quiet:{target}"]
    for outputs, files in ((messages, sources), (stubs, services)):
        if protoc.main(["protoc", *includes, *outputs, *map(str, files)]) != 0:
            raise RuntimeError("protoc refused the contracts; its message is above")


def stale(fresh: Path) -> list[Path]:
    """Files that differ between `fresh` and the tree, missing and left-over ones included."""
    ours, theirs = generated(ROOT), generated(fresh)
    changed = {path for path in ours & theirs if not filecmp.cmp(ROOT / path, fresh / path, shallow=False)}
    return sorted(changed | (ours ^ theirs))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing; exit 1 when a committed file is stale")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        generate(fresh)
        differing = stale(fresh)
        if check:
            for path in differing:
                print(f"stale: proto/{path}; run `make proto` and commit the result", file=sys.stderr)
            return 1 if differing else 0
        for path in differing:
            if (fresh / path).exists():
                shutil.copyfile(fresh / path, ROOT / path)
            else:
                (ROOT / path).unlink()
            print(f"proto/{path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
