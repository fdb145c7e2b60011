"""What one pass measured."""

from dataclasses import dataclass

# How long after the end of a pass its last answers may take.
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True, slots=True)
class Pass:
    requests_per_second: float
    p50_ms: float
    p99_ms: float
    errors: int


def summarize(seconds: list[float], wall: float, errors: int) -> Pass:
    """`seconds` are the latencies of the answers that came within the pass of `wall` seconds."""
    ordered = sorted(seconds)

    def at(quantile: float) -> float:
        return round(ordered[min(len(ordered) - 1, int(quantile * len(ordered)))] * 1e3, 3) if ordered else 0.0

    return Pass(round(len(ordered) / wall, 1), at(0.5), at(0.99), errors)
