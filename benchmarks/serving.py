"""Serving a tiny MLP (784-128-10): this project beside what people would write without it.

`python -m benchmarks.serving [--seconds 5] [--rounds 5] [--clients 1,16] [--json FILE]`. Each round runs every server
once, in turns, so that a slow moment of the machine meets all of them; medians and ratios are printed. HTTP: JSON,
next to a plain FastAPI + ONNX Runtime app. gRPC: next to a bare grpc.aio server. Ours checks a key on every request.
"""

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import uvloop

from benchmarks import mlp
from benchmarks.load import http1, http2
from benchmarks.load.result import Pass
from benchmarks.processes import free_port, python_server
from lepton_core.identity import new_api_key
from lepton_core.ids import new_id
from lepton_proto.inference import open_inference_pb2 as oip
from lepton_proto.inference.open_inference_pb2_grpc import GRPCInferenceServiceStub

HOST = "127.0.0.1"
# What is aimed at with 16 clients.
TARGETS = {"http": 3.0, "grpc": 0.7}

# One pass of load: clients, seconds.
Load = Callable[[int, float], Coroutine[Any, Any, Pass]]


@dataclass(frozen=True)
class Contestant:
    name: str
    transport: str
    load: Load


def http_load(port: int, path: str, document: dict[str, Any], headers: dict[str, str]) -> Load:
    request = http1.encode(HOST, path, json.dumps(document).encode(), {"content-type": "application/json"} | headers)
    return lambda clients, seconds: http1.run(HOST, port, request, clients, seconds)


def grpc_load(port: int, headers: dict[str, str]) -> Load:
    """Checks one answer through gRPC's own client first; the others must have its length."""
    x = mlp.sample()
    message = oip.ModelInferRequest(model_name="mlp")
    message.inputs.add(name=mlp.INPUT, datatype="FP32", shape=x.shape)
    message.raw_input_contents.append(x.tobytes())
    with grpc.insecure_channel(f"{HOST}:{port}") as channel:
        answer = GRPCInferenceServiceStub(channel).ModelInfer(message, metadata=tuple(headers.items()), timeout=30)
    y = np.frombuffer(answer.raw_output_contents[0], np.float32)
    assert y.shape == (mlp.CLASSES,), y.shape
    encoded = http2.encode_headers(f"{HOST}:{port}", "/inference.GRPCInferenceService/ModelInfer", headers)
    size = len(http2.encode_message(answer.SerializeToString()))
    data = message.SerializeToString()
    return lambda clients, seconds: http2.run(HOST, port, encoded, data, size, clients, seconds)


@contextmanager
def contestants(folder: Path) -> Iterator[list[Contestant]]:
    """All servers up; each waits idle while another is measured."""
    (folder / "model.onnx").write_bytes(mlp.build())
    (folder / "signature.json").write_text(json.dumps(mlp.signature()))
    model = str(folder / "model.onnx")
    key = {"authorization": f"Bearer {new_api_key(new_id('key'))}"}
    row = np.round(mlp.sample().astype(np.float64), 4).tolist()
    tensor = {"name": mlp.INPUT, "shape": [1, mlp.FEATURES], "datatype": "FP32", "data": row[0]}
    fastapi, bare = free_port(), free_port()
    with (
        python_server("-m", "benchmarks.references.fastapi_onnx", model, str(fastapi), port=fastapi),
        python_server("-m", "benchmarks.references.grpc_onnx", model, str(bare), port=bare),
        python_server("-m", "benchmarks.lepton_serving", str(folder)) as ports,
    ):
        http_port, grpc_port = map(int, ports.split())
        yield [
            Contestant("fastapi", "http", http_load(fastapi, "/predict", {"x": row}, {})),
            Contestant("lepton", "http", http_load(http_port, "/v2/models/mlp/infer", {"inputs": [tensor]}, key)),
            Contestant("grpc.aio", "grpc", grpc_load(bare, {})),
            Contestant("lepton", "grpc", grpc_load(grpc_port, key)),
        ]


def measure(found: list[Contestant], clients: list[int], rounds: int, seconds: float) -> list[dict[str, Any]]:
    passes: dict[tuple[str, str, int], list[Pass]] = {}
    for _ in range(rounds + 1):
        for count in clients:
            for each in found:
                result = uvloop.run(each.load(count, seconds))
                passes.setdefault((each.transport, each.name, count), []).append(result)
    rows = []
    for (transport, name, count), all_of_them in passes.items():
        # The first round warms everything up.
        kept = all_of_them[1:]
        rates = [each.requests_per_second for each in kept]
        rows.append(
            {
                "transport": transport,
                "server": name,
                "clients": count,
                "requests_per_second": statistics.median(rates),
                "p50_ms": statistics.median(each.p50_ms for each in kept),
                "p99_ms": statistics.median(each.p99_ms for each in kept),
                "errors": sum(each.errors for each in kept),
                "passes": [asdict(each) for each in kept],
            }
        )
    return rows


def ratios(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ours against the other, per round and then the median: neighbours in time are compared."""
    found = []
    for ours in (row for row in rows if row["server"] == "lepton"):
        other = next(
            row
            for row in rows
            if row["server"] != "lepton" and all(row[key] == ours[key] for key in ("transport", "clients"))
        )
        pairs = zip(ours["passes"], other["passes"], strict=True)
        each = [mine["requests_per_second"] / max(theirs["requests_per_second"], 1e-9) for mine, theirs in pairs]
        target = TARGETS[ours["transport"]] if ours["clients"] == 16 else None
        found.append(
            {
                "transport": ours["transport"],
                "clients": ours["clients"],
                "against": other["server"],
                "ratio": round(statistics.median(each), 3),
                "target": target,
            }
        )
    return found


def show(rows: list[dict[str, Any]], compared: list[dict[str, Any]]) -> None:
    print(f"{'':6} {'server':10} {'clients':>7} {'requests/s':>11} {'p50 ms':>8} {'p99 ms':>8} {'errors':>6}")
    for row in sorted(rows, key=lambda each: (each["transport"], each["clients"], each["server"])):
        print(
            f"{row['transport']:6} {row['server']:10} {row['clients']:7} {row['requests_per_second']:11.0f} "
            f"{row['p50_ms']:8.2f} {row['p99_ms']:8.2f} {row['errors']:6}"
        )
    for each in compared:
        target = f" (target {each['target']})" if each["target"] else ""
        print(f"{each['transport']} at {each['clients']}: {each['ratio']} x {each['against']}{target}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clients", default="1,16")
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    clients = [int(each) for each in chosen.clients.split(",")]
    with tempfile.TemporaryDirectory() as folder, contestants(Path(folder)) as found:
        rows = measure(found, clients, chosen.rounds, chosen.seconds)
    compared = ratios(rows)
    show(rows, compared)
    if chosen.json:
        chosen.json.write_text(json.dumps({"benchmark": "serving", "results": rows, "ratios": compared}, indent=1))
    missed = [each for each in compared if each["target"] and each["ratio"] < each["target"]]
    return 1 if missed or any(row["errors"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
