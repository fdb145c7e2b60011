"""Generated code loads on both ends of the protobuf range that users' environments pin."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.install.conftest import CleanEnvironment

# An install from a cold package index takes minutes.
pytestmark = pytest.mark.timeout(600)

ENDS = {
    "oldest": ("protobuf==6.31.*", "grpcio==1.76.0"),
    "newest": ("protobuf>=7,<8", "grpcio"),
}
# A warning at import is an error: protobuf announces a coming refusal by one.
LOAD_ALL = """
import importlib, pkgutil, warnings
warnings.simplefilter("error")
import lepton_proto
names = [m.name for m in pkgutil.walk_packages(lepton_proto.__path__, "lepton_proto.") if not m.ispkg]
modules = [importlib.import_module(name) for name in names]
assert len(modules) > 20, names
from lepton_proto.inference import open_inference_pb2
request = open_inference_pb2.ModelInferRequest(model_name="digits")
assert open_inference_pb2.ModelInferRequest.FromString(request.SerializeToString()) == request
"""


@pytest.mark.parametrize("end", sorted(ENDS))
def test_generated_code_loads(end: str, new_environment: Callable[[], CleanEnvironment]) -> None:
    environment = new_environment()
    environment.install("./proto", *ENDS[end], pinned=False)
    environment.python(LOAD_ALL)


def test_servers_start_on_the_newest_protobuf(new_environment: Callable[[], CleanEnvironment]) -> None:
    """Health and reflection exist for one side of the range each, so the extra must leave the resolver a choice."""
    environment = new_environment()
    environment.install("./proto", "./core[grpc]", "protobuf>=7,<8", pinned=False)
    environment.python("import lepton_core.grpc.server, grpc_health.v1.health, grpc_reflection.v1alpha.reflection")
