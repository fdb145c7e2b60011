"""All typed calls to the registry, over one channel."""

from __future__ import annotations

import grpc.aio

from lepton_gateway.registry.data import DataCalls
from lepton_gateway.registry.models_and_lineage import ModelAndLineageCalls
from lepton_gateway.registry.projects_and_keys import ProjectAndKeyCalls
from lepton_gateway.registry.runs import RunCalls


class Registry(RunCalls, ProjectAndKeyCalls, DataCalls, ModelAndLineageCalls):
    def __init__(self, channel: grpc.aio.Channel) -> None:
        for calls in (RunCalls, ProjectAndKeyCalls, DataCalls, ModelAndLineageCalls):
            calls.__init__(self, channel)
