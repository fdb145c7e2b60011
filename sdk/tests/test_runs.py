"""Which run is meant, and which metrics it has."""

from __future__ import annotations

import builtins

import pytest

from lepton.resources.runs import Run, Runs
from lepton_core.api import MetricPoint, RunState
from lepton_core.api import Run as RunResource
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.plain_text import plain_log

FIRST, SECOND = "run_01JDPX0000AAAAAAAAAAAAAAAA", "run_01JDPX0000BBBBBBBBBBBBBBBB"


class Known(Runs):
    """Runs that are known here, and the keys of the points of each."""

    def __init__(self, *ids: str, keys: tuple[str, ...] = ()) -> None:
        self.ids, self.keys = ids, keys

    def _points(self, run_id: str, keys: object) -> builtins.list[MetricPoint]:
        return [MetricPoint(key=key) for key in self.keys if not keys or key in keys]  # type: ignore[operator]

    def list(self, *, id_prefix: str = "", limit: int = 50, **_: object) -> builtins.list[Run]:  # type: ignore[override]
        ids = [id for id in reversed(self.ids) if id.startswith(id_prefix)]
        return [Run(self, RunResource(id=id, state=RunState.QUEUED)) for id in ids[:limit]]


def test_last_and_the_beginning_of_an_id_stand_for_one_run() -> None:
    runs = Known(FIRST, SECOND)
    assert runs.find_id("last") == SECOND
    assert runs.find_id(FIRST[:-10]) == FIRST
    assert runs.find_id(FIRST) == FIRST


def test_a_beginning_that_fits_several_names_them() -> None:
    with pytest.raises(LeptonError, match="the beginning of several ids") as raised:
        Known(FIRST, SECOND).find_id("run_01J")
    assert raised.value.code is ErrorCode.INVALID
    assert raised.value.fields[0].allowed == f"{SECOND}, {FIRST}"


@pytest.mark.parametrize("reference", ["last", "run_02"])
def test_what_stands_for_no_run_is_not_found(reference: str) -> None:
    ids = () if reference == "last" else (FIRST,)
    with pytest.raises(LeptonError) as raised:
        Known(*ids).find_id(reference)
    assert raised.value.code is ErrorCode.NOT_FOUND


def test_a_metric_that_is_not_recorded_is_an_error_once_others_are() -> None:
    assert Known(FIRST).metric_points(FIRST, "los") == []
    runs = Known(FIRST, keys=("accuracy", "loss"))
    assert [point.key for point in runs.metric_points(FIRST, "loss")] == ["loss"]
    with pytest.raises(LeptonError, match="did you mean 'loss'") as raised:
        runs.metric_points(FIRST, "los")
    assert (raised.value.code, raised.value.fields[0].allowed) == (ErrorCode.NOT_FOUND, "accuracy, loss")


def test_a_log_moves_no_cursor() -> None:
    assert plain_log("10 %\r20 %\r\n\x1b]0;title\x07") == "10 %\n20 %\n\ufffd]0;title\ufffd"
