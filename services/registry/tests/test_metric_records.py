"""Journal records that no metric can be made of are passed over; what stands behind them is taken."""

from __future__ import annotations

import zlib

import pytest

from lepton_core.journal import encode_record
from lepton_registry.metrics.records import parse_points


@pytest.mark.parametrize(
    "values",
    [
        b'{"a":%s}' % (b"9" * 350),
        b'{"a":%s}' % (b"9" * 5000),
        b'{"\\ud800":1}',
        b'{"a":true}',
        b'{"a\\u0000":1}',
    ],
    ids=["350 digits", "5000 digits", "lone surrogate", "bool", "zero character"],
)
def test_a_poisonous_record_does_not_stop_the_next(values: bytes) -> None:
    body = b'{"s":1,"t":1,"k":%s}' % values
    good = encode_record({"s": 2, "t": 1, "k": {"loss": 0.5}})
    points = parse_points(b"%08x %s\n" % (zlib.crc32(body), body) + good, 0)
    assert [(point.key, point.step, point.value) for point in points] == [("loss", 2, 0.5)]
