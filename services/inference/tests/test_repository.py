"""What is served while revisions come, fail, heal and go."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import digest_of
from lepton_fixtures.packages import adder
from lepton_inference.cache import FileCache
from lepton_inference.package import ServedModel
from lepton_inference.repository import LoadLimits, Repository
from lepton_inference.revisions import PackageFile, Revision, Target, TargetState
from services.inference.tests.fleet import Fleet, until
from services.inference.tests.packages import Package, make_revision, multiplier


async def answered(fleet: Fleet) -> tuple[float, str]:
    """What one row of ones gives, and which version gave it."""
    tensor = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 1, 1, 1]}
    answer = (await fleet.http.post("/v2/models/double/infer", json={"inputs": [tensor]})).json()
    return answer["outputs"][0]["data"][0], answer["model_version"]


def broken(how: str) -> Package:
    package = multiplier(5.0)
    if how == "pickle":
        package["model.onnx"] = b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00\x8c\x07builtins\x94."
    elif how == "external data":
        package = adder(5.0, external="../../secret")
    elif how == "truncated":
        package["model.onnx"] = package["model.onnx"][:-20]
    elif how == "no signature":
        del package["signature.json"]
    elif how == "signature is no JSON":
        package["signature.json"] = b"{"
    elif how == "another input":
        package["signature.json"] = package["signature.json"].replace(b'"x"', b'"z"')
    elif how == "another shape":
        package["signature.json"] = package["signature.json"].replace(b"4]", b"5]")
    elif how == "another type":
        package["signature.json"] = package["signature.json"].replace(b"FP32", b"INT64")
    return package


async def test_a_new_version_takes_over_and_is_reported(fleet: Fleet) -> None:
    first = await fleet.deploy(multiplier(2.0))
    assert await answered(fleet) == (2.0, "1")
    second = await fleet.deploy(multiplier(3.0), version=2)
    await until(lambda: len(fleet.reports) == 2, "both reports")
    assert await answered(fleet) == (3.0, "2")
    assert fleet.reports == [(first.id, ""), (second.id, "")]


async def test_no_request_fails_during_a_swap(fleet: Fleet) -> None:
    await fleet.deploy(multiplier(1.0), version=1)
    seen: list[str] = []
    stop = asyncio.Event()

    async def ask() -> None:
        while not stop.is_set():
            seen.append((await answered(fleet))[1])

    asking = [asyncio.create_task(ask()) for _ in range(4)]
    await until(lambda: seen, "the first answer")
    for version in range(2, 6):
        await fleet.deploy(multiplier(float(version)), version=version)
        await until(lambda: seen[-1:] == [str(version)], f"version {version}")  # noqa: B023 - awaited here
    stop.set()
    await asyncio.gather(*asking)
    assert set(seen) == {"1", "2", "3", "4", "5"}


@pytest.mark.parametrize(
    "how",
    [
        "pickle",
        "external data",
        "truncated",
        "no signature",
        "signature is no JSON",
        "another input",
        "another shape",
        "another type",
    ],
)  # fmt: skip
async def test_a_version_that_cannot_serve_leaves_the_old_one_serving(fleet: Fleet, how: str) -> None:
    good = await fleet.deploy(multiplier(2.0))
    bad = fleet.put(broken(how), version=2)
    fleet.target(bad, good)
    await until(lambda: len(fleet.reports) == 2, "the report")
    revision, reason = fleet.reports[-1]
    assert (revision, bool(reason)) == (bad.id, True)
    assert await answered(fleet) == (2.0, "1")


async def test_one_flipped_byte_in_the_store_is_refused_and_heals(fleet: Fleet) -> None:
    await fleet.deploy(multiplier(2.0))
    package = multiplier(3.0)
    bad = fleet.put(package, version=2)
    digest = digest_of(package["model.onnx"])
    fleet.store[digest] = bytes([package["model.onnx"][0] ^ 1]) + package["model.onnx"][1:]
    fleet.target(bad)
    await until(lambda: len(fleet.reports) == 2, "the report")
    assert "model.onnx" in fleet.reports[-1][1]
    assert await answered(fleet) == (2.0, "1")
    fleet.store[digest] = package["model.onnx"]
    await until(lambda: fleet.reports[-1] == (bad.id, ""), "the healed revision to be reported")
    assert await answered(fleet) == (3.0, "2")


async def test_a_store_that_is_away_is_waited_for_without_a_failure(fleet: Fleet) -> None:
    package = multiplier(2.0)
    revision = fleet.put(package)
    kept, fleet.store = fleet.store, {}
    fleet.target(revision)
    await fleet.replica.repository.settled()
    answer = await fleet.http.post("/v2/models/double/infer", json={"inputs": []})
    assert answer.status_code == 503
    assert "object store" in answer.json()["detail"]
    assert fleet.reports == []
    fleet.store = kept
    await until(lambda: fleet.reports == [(revision.id, "")], "the revision")


async def test_last_good_serves_at_start_while_the_desired_one_is_bad(fleet: Fleet) -> None:
    good, bad = fleet.put(multiplier(2.0)), fleet.put(broken("pickle"), version=2)
    fleet.target(bad, good, state=TargetState.FAILED)
    await fleet.replica.repository.settled()
    assert await answered(fleet) == (2.0, "1")
    assert fleet.reports == []


async def test_a_deleted_deployment_is_gone(fleet: Fleet) -> None:
    await fleet.deploy(multiplier())
    fleet.replica.repository.apply([])
    assert (await fleet.http.get("/v2/models/double")).status_code == 404


async def test_a_replica_without_registry_serves_from_its_verified_snapshot(start_fleet: Any) -> None:
    first = await start_fleet()
    await first.deploy(multiplier(2.0))
    snapshot = first.folder / "cache" / "snapshot"
    await until(snapshot.exists, "the snapshot")

    second = await start_fleet()
    second.replica.resume()
    await second.replica.repository.settled()
    assert await answered(second) == (2.0, "1")

    # Files are hashed at load: one that was changed is not served, and with no store to heal from nothing is.
    (damaged,) = [path for path in (first.folder / "cache" / "files").iterdir() if b"Mul" in path.read_bytes()]
    damaged.write_bytes(damaged.read_bytes().replace(b"Mul", b"Add"))
    third = await start_fleet()
    third.replica.resume()
    await third.replica.repository.settled()
    assert (await third.http.get("/v2/models/double/ready")).status_code == 503

    snapshot.write_bytes(snapshot.read_bytes().replace(b"prj_a", b"prj_b"))
    fourth = await start_fleet()
    fourth.replica.resume()
    assert not fourth.replica.repository.ready()


async def test_what_no_revision_names_leaves_the_cache(fleet: Fleet) -> None:
    await fleet.deploy(multiplier(2.0))
    await fleet.deploy(multiplier(3.0), version=2)
    kept = {digest_of(data).removeprefix("sha256:") for data in multiplier(3.0).values()}
    folder = fleet.folder / "cache" / "files"
    await until(lambda: {path.name for path in folder.iterdir()} == kept, "the old files to go")


async def test_deployments_that_share_files_load_side_by_side(fleet: Fleet) -> None:
    for name in ("double", "twice", "again"):
        fleet.target(fleet.put(multiplier(2.0), name))
    await fleet.replica.repository.settled()
    index = (await fleet.http.post("/v2/repository/index")).json()
    assert [each["state"] for each in index] == ["READY"] * 3


async def test_so_many_models_load_at_once_as_the_limits_say(tmp_path: Path) -> None:
    """Two of a project and three in all: the third slot is another project's."""
    running: list[str] = []
    gate = asyncio.Event()

    async def load(revision: Revision, _files: dict[str, bytes]) -> ServedModel:
        running.append(revision.project)
        await gate.wait()
        raise LeptonError(ErrorCode.INVALID, "enough")

    package = multiplier()
    store = {digest_of(data): data for data in package.values()}

    async def fetch(_project: str, file: PackageFile, target: Path) -> None:
        await asyncio.to_thread(target.write_bytes, store[file.digest])

    async def report(_revision: Revision, _reason: str) -> None:
        pass

    limits = LoadLimits(model_bytes=2**20, at_once=3, at_once_per_project=2)
    repository = Repository(FileCache(tmp_path, fetch), load, report, tmp_path / "snapshot", limits)
    revisions = [
        make_revision(package, f"m-{number}", project=project) for project in ("prj_a", "prj_b") for number in range(3)
    ]
    repository.apply([Target(each.project, each.deployment, each, None) for each in revisions])
    await until(lambda: len(running) == 3, "three loads")
    assert sorted(running) == ["prj_a", "prj_a", "prj_b"]
    gate.set()
    await repository.settled()
    assert sorted(running) == ["prj_a"] * 3 + ["prj_b"] * 3
    await repository.close()
