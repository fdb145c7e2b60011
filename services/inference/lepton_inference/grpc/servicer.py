"""gRPC of the Open Inference Protocol: convert the request, call the data plane, convert the answer."""

from typing import Any

from grpc import aio

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity import current_principal
from lepton_inference.dataplane import Dataplane, deadline_in
from lepton_inference.grpc.messages import read_outputs, read_tensors, timeout_seconds, to_metadata, to_response
from lepton_inference.server_metadata import EXTENSIONS, NAME, VERSION
from lepton_proto.inference import open_inference_pb2 as oip
from lepton_proto.inference.open_inference_pb2_grpc import GRPCInferenceServiceServicer

Context = aio.ServicerContext[Any, Any]


class InferenceServicer(GRPCInferenceServiceServicer):
    def __init__(self, dataplane: Dataplane) -> None:
        self._dataplane = dataplane

    async def ModelInfer(self, request: oip.ModelInferRequest, context: Context) -> oip.ModelInferResponse:
        caller = current_principal()
        served = self._dataplane.find(caller, request.model_name, request.model_version)
        inputs = served.inputs.decode(read_tensors(request))
        outputs = read_outputs(request)
        limits = [seconds for seconds in (context.time_remaining(), timeout_seconds(request)) if seconds is not None]
        deadline = deadline_in(min(limits, default=None))
        return to_response(request, await self._dataplane.infer(caller, served, inputs, outputs, deadline))

    async def ServerLive(self, request: oip.ServerLiveRequest, context: Context) -> oip.ServerLiveResponse:
        return oip.ServerLiveResponse(live=True)

    async def ServerReady(self, request: oip.ServerReadyRequest, context: Context) -> oip.ServerReadyResponse:
        return oip.ServerReadyResponse(ready=self._dataplane.repository.ready())

    async def ServerMetadata(self, request: oip.ServerMetadataRequest, context: Context) -> oip.ServerMetadataResponse:
        return oip.ServerMetadataResponse(name=NAME, version=VERSION, extensions=EXTENSIONS)

    async def ModelReady(self, request: oip.ModelReadyRequest, context: Context) -> oip.ModelReadyResponse:
        try:
            ready = self._dataplane.is_ready(current_principal(), request.name, request.version)
        except LeptonError as error:
            if error.code is not ErrorCode.NOT_FOUND:
                raise
            ready = False
        return oip.ModelReadyResponse(ready=ready)

    async def ModelMetadata(self, request: oip.ModelMetadataRequest, context: Context) -> oip.ModelMetadataResponse:
        served = self._dataplane.find(current_principal(), request.name, request.version)
        return oip.ModelMetadataResponse(
            name=request.name,
            versions=[served.version],
            platform=served.platform,
            inputs=[to_metadata(spec) for spec in served.signature.inputs],
            outputs=[to_metadata(spec) for spec in served.signature.outputs],
        )

    async def RepositoryIndex(
        self, request: oip.RepositoryIndexRequest, context: Context
    ) -> oip.RepositoryIndexResponse:
        models = self._dataplane.index(current_principal(), ready_only=request.ready)
        entries = [oip.RepositoryIndexResponse.ModelIndex(**entry) for entry in models]
        return oip.RepositoryIndexResponse(models=entries)
