"""Data that nobody can learn from, and code that cannot run here: the run fails once, and says where to look."""

from __future__ import annotations

import io
import struct
import uuid
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from lepton_fixtures.archives import zipped
from lepton_fixtures.callers import Caller
from lepton_fixtures.pickles import Harmful
from lepton_fixtures.processes import wait_until

HEADER = "width,height,kind\n"
ROWS = [f"{i % 7},{i % 5},{'a' if i % 2 else 'b'}\n" for i in range(60)]
TABULAR = {"recipe": "tabular", "train": {"target": "kind", "epochs": 1}}
IMAGES = {"recipe": "vision.classifier", "train": {"epochs": 1}}
MARK = "code-ran"

pytestmark = pytest.mark.timeout(300)


def table(rows: list[str]) -> dict[str, bytes]:
    return {"table.csv": (HEADER + "".join(rows)).encode()}


def png(width: int, height: int) -> bytes:
    """A grey image that says it is so large, and holds eight rows at most."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(b"\0" * (width + 1) * min(height, 8))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")


def images(**more: bytes) -> dict[str, bytes]:
    """Two classes of four images each, and what is said besides: `cat__x_png` is `cat/x.png`."""
    sound = {f"{kind}/{index}.png": png(8, 8) for kind in ("cat", "dog") for index in range(4)}
    return sound | {name.replace("__", "/").replace("_", "."): data for name, data in more.items()}


def arrays_of_objects(mark: Path) -> bytes:
    file = io.BytesIO()
    labels = np.array([Harmful(str(mark))] * 8, dtype=object)
    np.savez(file, images=np.zeros((8, 8, 8), np.uint8), labels=labels, allow_pickle=True)
    return file.getvalue()


# The data, the job, and the words that the reason must hold.
Case = tuple[Mapping[str, bytes], Mapping[str, Any], tuple[str, ...]]


def cases(mark: Path) -> dict[str, Case]:
    no_column = TABULAR | {"train": {"target": "kinds", "epochs": 1}}
    return {
        "no target column": (
            table(ROWS),
            no_column,
            ("train.target", "table.csv", "kinds", "one of 'width', 'height', 'kind'"),
        ),
        "text among numbers": (
            table([*ROWS[:16], "wide,3,a\n", *ROWS[17:]]),
            TABULAR,
            ("table.csv, row 17", "width", "wide"),
        ),
        "no rows": (table([]), TABULAR, ("table.csv", "0 rows")),
        "no image": (images(cat__broken_png=b"<html>404</html>"), IMAGES, ("cat/broken.png",)),
        "image that explodes": (images(dog__big_png=png(60_000, 60_000)), IMAGES, ("dog/big.png",)),
        "pickles within arrays": ({"data.npz": arrays_of_objects(mark)}, IMAGES, ("data.npz",)),
    }


KINDS = list(cases(Path()))


@pytest.fixture(scope="module")
def mark(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where code from a data set would leave its mark."""
    return tmp_path_factory.mktemp("mark") / MARK


@pytest.fixture(scope="module")
def ended(operator: Caller, mark: Path) -> Iterator[Callable[[str], dict[str, Any]]]:
    """All cases are submitted at once; waits for one of them."""
    runs: dict[str, str] = {}
    for kind, (data, job, _) in cases(mark).items():
        name = f"bad-{uuid.uuid4().hex[:8]}"
        push(operator, name, data)
        runs[kind] = submit(operator, {"name": name, "data": f"{name}@1", **job})

    yield lambda kind: end_of(operator, runs[kind])
    for run in runs.values():
        operator.gateway.post(f"/v1/runs/{run}:cancel")


def push(caller: Caller, name: str, files: Mapping[str, bytes]) -> None:
    archive = zipped(files)
    answer = caller.gateway.post(f"/v1/datasets/{name}/versions", content=archive.content, headers=archive.headers)
    assert answer.status_code == 201, answer.text


def submit(caller: Caller, job: Mapping[str, Any]) -> str:
    answer = caller.gateway.post("/v1/jobs", json=job, headers={"idempotency-key": str(uuid.uuid4())})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["id"])


def end_of(caller: Caller, run: str) -> dict[str, Any]:
    found: dict[str, Any] = {}

    def has_ended() -> bool:
        found.update(caller.gateway.get(f"/v1/runs/{run}").json())
        return found["state"] not in ("queued", "running")

    wait_until(has_ended, 240, f"{run} to end")
    return found


@pytest.mark.parametrize("kind", KINDS)
def test_the_run_fails_once_and_says_where_to_look(
    operator: Caller, ended: Callable[[str], dict[str, Any]], kind: str, mark: Path
) -> None:
    run = ended(kind)
    assert run["state"] == "failed"
    for words in cases(mark)[kind][2]:
        assert words in run["reason"]
    # Trying again would not help, and people read the first line: no traceback, no path of the worker's.
    assert run["attempts"] == 1
    assert "Traceback" not in run["reason"]
    assert "/attempts/" not in run["reason"]
    assert not mark.exists()


def test_code_that_cannot_run_here_says_what_is_missing(operator: Caller) -> None:
    files = {"train.py": b"print('ran')\n", "requirements.txt": b"pydantic>=2\nno-such-package>=1.0\nnumpy>=99\n"}
    answer = submitted(operator, files, {"entry": "train.py", "requirements": "requirements.txt"})
    assert answer.status_code == 202, answer.text
    run = end_of(operator, answer.json()["id"])
    assert (run["state"], run["attempts"]) == ("failed", 1), run["reason"]
    for words in ("no-such-package>=1.0", "not installed", "numpy>=99"):
        assert run["reason"].count(words) == 1


@pytest.mark.parametrize(
    ("script", "field"),
    [
        ({"entry": "train.py", "requirements": "missing.txt"}, "script.requirements"),
        ({"entry": "other.py"}, "script.entry"),
    ],
)
def test_a_file_that_is_not_in_the_code_is_refused_at_submission(
    operator: Caller, script: dict[str, str], field: str
) -> None:
    answer = submitted(operator, {"train.py": b"print('ran')\n"}, script)
    assert answer.status_code == 422, answer.text
    [error] = answer.json()["errors"]
    assert error["field"] == field
    assert "train.py" in error["allowed"]


def submitted(operator: Caller, files: dict[str, bytes], script: dict[str, str]) -> httpx.Response:
    archive = zipped(files)
    code = operator.gateway.post("/v1/code", content=archive.content, headers=archive.headers).json()["code"]
    return operator.gateway.post(
        "/v1/jobs",
        json={"name": "script", "script": {**script, "code": code}},
        headers={"idempotency-key": str(uuid.uuid4())},
    )
