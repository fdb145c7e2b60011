"""Metric series of runs."""

from lepton_proto.v1 import metrics_pb2_grpc as rpc
from lepton_registry.metrics.servicer import MetricServicer
from lepton_registry.metrics.tables import MetricHeadRow, MetricNameRow, MetricPointRow
from lepton_registry.module import Built, Module, Parts


def build(parts: Parts) -> Built:
    return Built([(rpc.add_MetricServiceServicer_to_server, MetricServicer(parts.database))])


MODULE = Module(
    "metrics",
    (
        MetricPointRow,
        MetricHeadRow,
        MetricNameRow,
    ),
    build=build,
)
