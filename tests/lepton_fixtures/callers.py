"""One credential at every public door: HTTP and gRPC, of gateway and inference."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import httpx
from google.protobuf.message import Message

from lepton_core.errors import LeptonError
from lepton_core.grpc.client import SyncChannel, open_sync_channel
from lepton_fixtures.platform import RunningPlatform
from lepton_proto.inference import open_inference_pb2_grpc
from lepton_proto.v1 import jobs_pb2_grpc

# The code and the words of an answer: ("ok", "") or those of the error.
Answer = tuple[str, str]


class Caller:
    """Sends `authorization` as it stands; nothing when it is empty."""

    def __init__(self, platform: RunningPlatform, authorization: str) -> None:
        self._stack = ExitStack()
        self._metadata = (("authorization", authorization),) if authorization else ()
        headers = dict(self._metadata)
        self.gateway, self.inference = (
            self._stack.enter_context(httpx.Client(base_url=platform.url(name), headers=headers, timeout=90))
            for name in ("gateway", "inference")
        )
        gateway, inference = (self._channel(platform.url(name)) for name in ("gateway_grpc", "inference_grpc"))
        self.jobs = jobs_pb2_grpc.JobServiceStub(gateway)
        self.models = open_inference_pb2_grpc.GRPCInferenceServiceStub(inference)

    def _channel(self, address: str) -> SyncChannel:
        return self._stack.enter_context(open_sync_channel(address))

    def rpc(self, method: Callable[..., Any], request: Message, **metadata: str) -> Any:
        """One unary call of `jobs` or `models`. Raises LeptonError."""
        more = [(name.replace("_", "-"), value) for name, value in metadata.items()]
        return method(request, metadata=[*self._metadata, *more])

    def stream(self, method: Callable[..., Any], request: Message) -> list[Any]:
        """All answers of a streaming call. Raises LeptonError."""
        return list(method(request, metadata=self._metadata))

    def close(self) -> None:
        self._stack.close()


def key(token: str) -> str:
    return f"Bearer {token}"


def of_http(answer: httpx.Response) -> Answer:
    if answer.status_code < 300:
        return "ok", ""
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    problem = answer.json()
    assert problem["status"] == answer.status_code
    return problem["code"], problem["detail"]


def of_rpc(call: Callable[[], object]) -> Answer:
    try:
        call()
    except LeptonError as error:
        return error.code.value, error.detail
    return "ok", ""
