"""10,000 jobs submitted over HTTP by 16 clients: rate, p99, none lost; next to the bare path without any promise.

`python -m benchmarks.submission [--jobs 10000] [--rounds 5] [--clients 16] [--json FILE]`. Rounds alternate; ours
checks a key, validates every job against its recipe's schema, resolves the dataset and keeps idempotency keys.
"""

import argparse
import json
import statistics
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import uvloop

from benchmarks.load import http1
from benchmarks.load.result import Pass
from benchmarks.platform import running_platform
from benchmarks.processes import free_port, python_server
from lepton import Client

TARGET = 0.5
LONGEST_PASS_SECONDS = 120.0
TABLE = "width,height,kind\n" + "".join(f"{i % 7},{i % 5},{'a' if i % 2 else 'b'}\n" for i in range(60))


def job() -> dict[str, Any]:
    """More ranks than any worker here takes: the runs stay queued."""
    return {
        "name": "bench",
        "recipe": "tabular",
        "data": "bench@latest",
        "train": {"target": "kind", "epochs": 3, "seed": 7},
        "resources": {"ranks": 64},
        "labels": {"team": "bench"},
    }


def requests(count: int, headers: dict[str, str]) -> Iterator[bytes]:
    body = json.dumps(job()).encode()
    for _ in range(count):
        own = {"content-type": "application/json", "idempotency-key": uuid.uuid4().hex, **headers}
        yield http1.encode("127.0.0.1", "/v1/jobs", body, own)


@contextmanager
def bare_path() -> Iterator[int]:
    with tempfile.TemporaryDirectory() as folder:
        registry, gateway = free_port(), free_port()
        with (
            python_server(
                "-m", "benchmarks.references.bare_registry", f"{folder}/bare.db", str(registry), port=registry
            ),
            python_server("-m", "benchmarks.references.bare_gateway", str(registry), str(gateway), port=gateway),
        ):
            yield gateway


def one_pass(port: int, count: int, clients: int, headers: dict[str, str]) -> Pass:
    ready = list(requests(count, headers))
    return uvloop.run(http1.run_each("127.0.0.1", port, ready, clients, LONGEST_PASS_SECONDS))


def accepted_runs(client: Client) -> int:
    return len(client.runs.list(limit=1_000_000))


def measure(jobs: int, rounds: int, clients: int) -> dict[str, Any]:
    share = jobs // rounds
    passes: dict[str, list[Pass]] = {"lepton": [], "bare path": []}
    with running_platform() as platform, bare_path() as bare, platform.client() as client:
        table = platform.home / "bench.csv"
        table.write_text(TABLE)
        client.datasets.push("bench", table, progress=False)
        port = urlsplit(platform.login.url).port or 80
        key = {"authorization": f"Bearer {platform.login.api_key}"}
        doors = {"lepton": (port, key), "bare path": (bare, {})}
        for where, headers in doors.values():
            one_pass(where, 200, clients, headers)
        before = accepted_runs(client)
        for _ in range(rounds):
            for name, (where, headers) in doors.items():
                passes[name].append(one_pass(where, share, clients, headers))
        lost = before + share * rounds - accepted_runs(client)
    pairs = zip(passes["lepton"], passes["bare path"], strict=True)
    ratio = statistics.median(mine.requests_per_second / bare.requests_per_second for mine, bare in pairs)
    return {
        "benchmark": "submission",
        "jobs": share * rounds,
        "clients": clients,
        "lost": lost,
        "ratio": round(ratio, 3),
        "target": TARGET,
        "passes": {name: [asdict(each) for each in found] for name, found in passes.items()},
    }


def show(result: dict[str, Any]) -> None:
    for name, passes in result["passes"].items():
        rate = statistics.median(each["requests_per_second"] for each in passes)
        p99 = statistics.median(each["p99_ms"] for each in passes)
        errors = sum(each["errors"] for each in passes)
        print(f"submission {name:10} {rate:8.0f} jobs/s   p99 {p99:7.1f} ms   errors {errors}")
    print(
        f"submission: {result['ratio']} x the bare path (target {result['target']}); "
        f"{result['lost']} of {result['jobs']} lost"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    result = measure(chosen.jobs, chosen.rounds, chosen.clients)
    show(result)
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1))
    return 1 if result["ratio"] < TARGET or result["lost"] else 0


if __name__ == "__main__":
    sys.exit(main())
