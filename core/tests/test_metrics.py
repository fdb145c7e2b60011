"""What Prometheus is shown, and where."""

import urllib.request
from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.metrics import Metrics, Sample
from lepton_core.settings import MetricsListen, Settings, load_settings


class ServiceSettings(Settings):
    metrics_listen: MetricsListen = ""


def values(text: bytes) -> dict[tuple[str, ...], float]:
    """By name and the values of the labels, these in their order."""
    families = text_string_to_metric_families(text.decode())
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value for family in families for sample in family.samples
    }


def test_requests_are_counted_and_timed_by_method() -> None:
    metrics = Metrics()
    metrics.observe("GET /v1/runs", "200", 0.02)
    metrics.observe("GET /v1/runs", "404", 0.2)
    found = values(metrics.text())
    assert found["lepton_requests_total", "200", "GET /v1/runs"] == 1
    assert found["lepton_request_seconds_count", "GET /v1/runs"] == 2
    assert found["lepton_request_seconds_bucket", "0.025", "GET /v1/runs"] == 1


def test_a_source_that_fails_hides_no_other() -> None:
    def broken() -> Iterator[Sample]:
        raise LeptonError(ErrorCode.UNAVAILABLE, "the database is away")
        yield

    metrics = Metrics()
    metrics.add(broken)
    metrics.add(lambda: [Sample("depth", "d", 3, {"queue": "a"}), Sample("depth", "d", 4, {"queue": "b"})])
    metrics.add(lambda: [Sample("done", "d", 5, counter=True)])
    found = values(metrics.text())
    assert (found["depth", "a"], found["depth", "b"], found["done_total",]) == (3, 4, 5)


def test_the_text_is_served_on_loopback_until_the_block_ends() -> None:
    metrics = Metrics()
    metrics.observe("GET /", "200", 0.1)
    with metrics.serving("127.0.0.1:0") as port:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
            assert b"lepton_requests_total" in answer.read()
        with pytest.raises(LeptonError, match="cannot listen"), metrics.serving(f"127.0.0.1:{port}"):
            pass
    with metrics.serving("") as none:
        assert none == 0


def test_metrics_are_not_shown_beyond_loopback() -> None:
    assert load_settings(ServiceSettings, "X", {"X_METRICS_LISTEN": "127.0.0.1:9100"}).metrics_listen
    with pytest.raises(LeptonError, match="loopback") as caught:
        load_settings(ServiceSettings, "X", {"X_METRICS_LISTEN": "0.0.0.0:9100"})
    assert caught.value.fields[0].field == "X_METRICS_LISTEN"
