"""Model packages that are not what their names say: refused before anything loads them, whichever way they come."""

from __future__ import annotations

import io
import json
import pickle
import struct
import subprocess
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from lepton_core.ids import digest_of
from lepton_core.objects.inline_batch import MEDIA_TYPE, write_batch
from lepton_fixtures.archives import tarred, zipped
from lepton_fixtures.callers import Caller
from lepton_fixtures.packages import SIGNATURE, Package, adder
from lepton_fixtures.pickles import Harmful
from lepton_fixtures.platform import RunningPlatform


def pickled(mark: str) -> bytes:
    return pickle.dumps(Harmful(mark))


def checkpoint_of_torch(mark: str) -> bytes:
    """What `torch.save` writes, with code in it: a zip around a pickle."""
    return zipped({"archive/data.pkl": pickled(mark), "archive/version": b"3\n"}).content


def array_of_objects(mark: str) -> bytes:
    file = io.BytesIO()
    np.save(file, np.array([Harmful(mark)], dtype=object), allow_pickle=True)
    return file.getvalue()


def safetensors(header: object, data: bytes = b"") -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def one_tensor(**change: Any) -> dict[str, Any]:
    return {"w": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8], **change}}


# What is put in place of, or beside, the files of a sound package, and the file that the refusal names.
HOSTILE: dict[str, tuple[Callable[[str], Package], str]] = {
    "pickle as onnx": (lambda mark: {"model.onnx": pickled(mark)}, "model.onnx"),
    "torch checkpoint as onnx": (lambda mark: {"model.onnx": checkpoint_of_torch(mark)}, "model.onnx"),
    "numpy objects as onnx": (lambda mark: {"model.onnx": array_of_objects(mark)}, "model.onnx"),
    "empty onnx": (lambda _: {"model.onnx": b""}, "model.onnx"),
    "pickle behind an onnx": (lambda mark: {"model.onnx": adder(1)["model.onnx"] + pickled(mark)}, "model.onnx"),
    "pickle as safetensors": (lambda mark: {"weights.safetensors": pickled(mark)}, "weights.safetensors"),
    "torch checkpoint as safetensors": (
        lambda mark: {"weights.safetensors": checkpoint_of_torch(mark)},
        "weights.safetensors",
    ),
    "pickle behind safetensors": (
        lambda mark: {"weights.safetensors": safetensors(one_tensor(), bytes(8) + pickled(mark))},
        "weights.safetensors",
    ),
    "safetensors with a huge header": (
        lambda _: {"weights.safetensors": struct.pack("<Q", 2**63) + b"{}"},
        "weights.safetensors",
    ),
    "safetensors beyond its end": (
        lambda _: {"weights.safetensors": safetensors(one_tensor(shape=[2**40], data_offsets=[0, 2**42]), bytes(8))},
        "weights.safetensors",
    ),
    "pickle under its own name": (lambda mark: {"model.pkl": pickled(mark)}, "model.pkl"),
    "pickle as a signature": (lambda mark: {"signature.json": pickled(mark)}, "signature.json"),
    "deep signature": (lambda _: {"signature.json": b"[" * 100_000}, "signature.json"),
    "signature of nothing": (lambda _: {"signature.json": b"{}"}, "signature.json"),
    "a program beside it": (lambda _: {"custom_ops.so": b"\x7fELF" + bytes(60)}, "custom_ops.so"),
    "data outside": (lambda _: adder(1, external="../../keys/operator.key"), "model.onnx"),
    "data at an absolute path": (lambda _: adder(1, external="/etc/passwd"), "model.onnx"),
    "data beside it": (lambda _: adder(1, external="model.onnx"), "model.onnx"),
    "second model with data outside": (
        lambda _: {"extra.onnx": adder(1, external="/etc/passwd")["model.onnx"]},
        "extra.onnx",
    ),
}


def by_zip(caller: Caller, name: str, package: Package) -> httpx.Response:
    archive = zipped(package)
    return caller.gateway.post(f"/v1/models/{name}/versions", content=archive.content, headers=archive.headers)


def by_tar(caller: Caller, name: str, package: Package) -> httpx.Response:
    archive = tarred(package)
    return caller.gateway.post(f"/v1/models/{name}/versions", content=archive.content, headers=archive.headers)


def by_digest(caller: Caller, name: str, package: Package) -> httpx.Response:
    """As the SDK does it: the bytes first, then the list of files."""
    batch = write_batch(
        [(digest_of(data), data) for data in {digest_of(data): data for data in package.values()}.values()]
    )
    stored = caller.gateway.post("/v1/artifacts:inline", content=batch, headers={"content-type": MEDIA_TYPE})
    assert stored.status_code == 201, stored.text
    files = [{"path": path, "digest": digest_of(data), "bytes": len(data)} for path, data in package.items()]
    return caller.gateway.post(f"/v1/models/{name}/versions", json={"files": files})


WAYS = [by_zip, by_tar, by_digest]


@pytest.fixture
def mark(tmp_path: Path) -> Iterator[str]:
    path = tmp_path / "code-ran"
    yield str(path)
    assert not path.exists(), "a pickle was loaded"


def test_the_harmful_pickle_is_harmful(tmp_path: Path) -> None:
    """Or else none of the tests below would show anything."""
    pickle.loads(pickled(str(tmp_path / "code-ran")))
    assert (tmp_path / "code-ran").exists()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_hostile_package_is_refused_and_names_the_file(
    operator: Caller, way: Callable[..., httpx.Response], kind: str, mark: str
) -> None:
    make, named = HOSTILE[kind]
    name = f"hostile-{uuid.uuid4().hex[:12]}"
    answer = way(operator, name, {**adder(1), **make(mark)})
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert problem["code"] == "invalid"
    assert named in problem["detail"]
    assert operator.gateway.get(f"/v1/models/{name}").status_code == 404


@pytest.mark.parametrize("way", WAYS)
def test_a_sound_package_is_taken(operator: Caller, way: Callable[..., httpx.Response]) -> None:
    package = {**adder(1), "weights.safetensors": safetensors(one_tensor(), bytes(8)), "card.json": b"{}"}
    answer = way(operator, f"sound-{uuid.uuid4().hex[:12]}", package)
    assert answer.status_code == 201, answer.text


@pytest.mark.parametrize("missing", ["model.onnx", "signature.json"])
def test_a_package_without_its_parts_says_which_one(operator: Caller, missing: str) -> None:
    package = {name: data for name, data in adder(1).items() if name != missing}
    answer = by_zip(operator, "incomplete", package)
    assert answer.status_code == 422, answer.text
    assert missing in answer.json()["detail"]


def test_files_that_were_never_sent_make_no_version(operator: Caller) -> None:
    files = [{"path": path, "digest": digest_of(uuid.uuid4().bytes), "bytes": 16} for path in adder(1)]
    answer = operator.gateway.post("/v1/models/nowhere/versions", json={"files": files})
    assert answer.json()["code"] in ("invalid", "not_found", "failed_precondition"), answer.text
    assert operator.gateway.get("/v1/models/nowhere").status_code == 404


@pytest.mark.parametrize("path", ["../model.onnx", "/etc/model.onnx", "a\\b.onnx", "a/../../b.onnx", "", ".", "a\0b"])
def test_a_list_of_files_cannot_name_a_path_outside(operator: Caller, path: str) -> None:
    file = {"path": path, "digest": digest_of(SIGNATURE), "bytes": len(SIGNATURE)}
    for door in ("/v1/models/outside/versions", "/v1/manifests"):
        answer = operator.gateway.post(door, json={"files": [file]})
        assert answer.status_code == 422, answer.text


def test_the_command_says_what_is_wrong_with_a_package(doors: RunningPlatform, tmp_path: Path, mark: str) -> None:
    for name, data in {**adder(1), "weights.safetensors": pickled(mark)}.items():
        (tmp_path / name).write_bytes(data)
    done: subprocess.CompletedProcess[str] = doors.cli("model", "push", "stolen", str(tmp_path), check=False)
    assert done.returncode != 0
    assert "weights.safetensors" in done.stderr + done.stdout
