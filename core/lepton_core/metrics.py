"""What a service's process measures, in the text format of Prometheus.

Servers report each request to `observe`; everything else is asked for at a scrape, from sources. Needs the extra
`telemetry`.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Histogram,
    ProcessCollector,
    generate_latest,
    start_http_server,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from lepton_core.errors import ErrorCode, LeptonError

LATENCY_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)

log = logging.getLogger("lepton.metrics")


@dataclass(frozen=True, slots=True)
class Sample:
    """One value at the moment of a scrape. A `counter` only grows while its process lives."""

    name: str
    help: str
    value: float
    labels: Mapping[str, str] = field(default_factory=dict)
    counter: bool = False


# Called in the thread of a scrape.
Source = Callable[[], Iterable[Sample]]


class Metrics:
    """Of one process. `text` and `serving` may be used by any thread."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "lepton_requests", "Requests that were answered.", ("method", "outcome"), registry=self._registry
        )
        self._seconds = Histogram(
            "lepton_request_seconds",
            "From a request to the end of its answer.",
            ("method",),
            buckets=LATENCY_SECONDS,
            registry=self._registry,
        )
        self._sources = _Sources()
        self._registry.register(self._sources)
        ProcessCollector(registry=self._registry)

    def observe(self, method: str, outcome: str, seconds: float) -> None:
        """`method` is a row of the policy table or "unknown", so that callers cannot make up names."""
        self._requests.labels(method, outcome).inc()
        self._seconds.labels(method).observe(seconds)

    def add(self, source: Source) -> None:
        self._sources.all.append(source)

    def text(self) -> bytes:
        return generate_latest(self._registry)

    @contextmanager
    def serving(self, listen: str) -> Iterator[int]:
        """Serves the text over HTTP at `host:port`, from a thread of its own, within the block; gives the port.

        Without a key: `MetricsListen` keeps it on loopback. An empty `listen`: not at all. Raises UNAVAILABLE when the
        address is taken.
        """
        if not listen:
            yield 0
            return
        host, _, port = listen.rpartition(":")
        try:
            server, thread = start_http_server(int(port), host.strip("[]"), self._registry)
        except (OSError, ValueError) as error:
            raise LeptonError(ErrorCode.UNAVAILABLE, f"cannot listen at {listen} for metrics: {error}") from None
        try:
            yield server.server_port
        finally:
            server.shutdown()
            server.server_close()
            thread.join()


class _Sources(Collector):
    def __init__(self) -> None:
        self.all: list[Source] = []

    def collect(self) -> Iterable[Metric]:
        families: dict[str, Metric] = {}
        for source in list(self.all):
            try:
                samples = list(source())
            except Exception:
                # Any error: a source may query a database that is unavailable, and the scrape still shows the others.
                log.warning("a source of metrics failed", exc_info=True)
                continue
            for sample in samples:
                _add(families, sample)
        return families.values()


def _add(families: dict[str, Metric], sample: Sample) -> None:
    family = families.get(sample.name)
    if family is None:
        kind = CounterMetricFamily if sample.counter else GaugeMetricFamily
        family = families[sample.name] = kind(sample.name, sample.help)
    name = f"{sample.name}_total" if sample.counter else sample.name
    family.add_sample(name, dict(sample.labels), sample.value)
