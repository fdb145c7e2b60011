"""All of it, over one channel."""

from __future__ import annotations

import grpc.aio

from lepton_gateway.registry.data import DataCalls
from lepton_gateway.registry.models_and_lineage import ServingCalls
from lepton_gateway.registry.projects_and_keys import PeopleCalls
from lepton_gateway.registry.runs import RunCalls


class Registry(RunCalls, PeopleCalls, DataCalls, ServingCalls):
    def __init__(self, channel: grpc.aio.Channel) -> None:
        for calls in (RunCalls, PeopleCalls, DataCalls, ServingCalls):
            calls.__init__(self, channel)
