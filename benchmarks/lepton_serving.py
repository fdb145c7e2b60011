"""The inference service as it is, serving one package from a folder instead of from a registry.

`python -m benchmarks.lepton_serving FOLDER KEY` prints its HTTP and gRPC ports. Keys are verified in this process, as
they are for 30 seconds after a registry was asked.
"""

import asyncio
import shutil
import sys
from pathlib import Path

import uvloop

from lepton_core.identity import Principal, PrincipalKind, Role, TokenAuthenticator
from lepton_core.ids import digest_of, new_id
from lepton_inference.replica import Replica
from lepton_inference.revisions import PackageFile, Revision, Target
from lepton_inference.settings import InferenceSettings

PROJECT, DEPLOYMENT = "benchmark", "mlp"


async def verify_key(key_id: str, token_sha256: str) -> Principal:  # noqa: ARG001
    return Principal(PrincipalKind.KEY, key_id, project=PROJECT, role=Role.VIEWER)


async def report(revision: Revision, reason: str) -> None:
    if reason:
        raise SystemExit(f"{revision.model} does not serve: {reason}")


async def serve(folder: Path) -> None:
    settings = InferenceSettings(
        http_listen="127.0.0.1:0",
        grpc_listen="127.0.0.1:0",
        registry_address="127.0.0.1:1",
        service_token_file=folder / "none",
        cache_dir=folder / "cache",
    )

    async def fetch(project: str, file: PackageFile, target: Path) -> None:  # noqa: ARG001
        shutil.copyfile(folder / file.path, target)

    files = tuple(
        PackageFile(path.name, digest_of(path.read_bytes()), path.stat().st_size)
        for path in (folder / "model.onnx", folder / "signature.json")
    )
    revision = Revision(new_id("rev"), PROJECT, DEPLOYMENT, "mlp", 1, new_id("mv"), files)
    replica = Replica(settings, TokenAuthenticator(verify_key=verify_key), fetch, report)
    replica.repository.apply([Target(PROJECT, DEPLOYMENT, revision, None)])
    async with replica.serving():
        await replica.repository.settled()
        print(replica.http.port, replica.grpc_port, flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(Path(sys.argv[1])))
