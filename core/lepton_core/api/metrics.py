"""Metric points."""

from lepton_core.api.base import Resource


class MetricPoint(Resource):
    key: str = ""
    step: int = 0
    value: float = 0.0
    at_us: int = 0
    rank: int = 0
    attempt_id: str = ""
