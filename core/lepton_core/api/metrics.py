"""Metric points."""

from pydantic import Field

from lepton_core.api.base import Answer, Resource


class MetricPoint(Resource):
    key: str = ""
    step: int = 0
    value: float = 0.0
    at_us: int = 0
    rank: int = 0
    attempt_id: str = ""


class QueryMetricsResponse(Answer):
    points: list[MetricPoint]
    next_cursor: str
    end: bool = Field(description="True when the run has ended and there is nothing after `next_cursor`.")
