"""Serving while the store lies, the registry is away, and inference itself is killed."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from lepton_fixtures.callers import Caller, key
from lepton_fixtures.packages import adder
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until
from lepton_fixtures.serving import SERVE_SECONDS, answers, ask, constant_of, deploy, import_version, serve


@pytest.fixture
def running(start_platform: Callable[..., RunningPlatform]) -> RunningPlatform:
    return start_platform()


@pytest.fixture
def caller(running: RunningPlatform) -> Iterator[Caller]:
    made = Caller(running, key(running.api_key))
    yield made
    made.close()


def flip_one_byte(store: Path, content: bytes) -> None:
    """In the stored object that holds `content`, whatever its key."""
    for path in store.rglob("*"):
        if path.is_file() and content in (data := path.read_bytes()):
            at = data.index(content) + len(content) // 2
            path.write_bytes(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
            return
    raise AssertionError("the store does not hold these bytes")


def test_one_flipped_byte_in_a_stored_model_is_refused_and_the_old_version_serves(
    running: RunningPlatform, caller: Caller
) -> None:
    serve(caller, "sum", 1.0)
    package = adder(2.0)
    version = import_version(caller, "sum", package)
    flip_one_byte(running.home / "objects", package["model.onnx"])
    deploy(caller, "sum", f"sum@{version}")

    def desired() -> dict[str, str]:
        found: dict[str, str] = caller.gateway.get("/v1/deployments/sum").json()["desired"]
        return found

    wait_until(lambda: desired()["state"] == "failed", SERVE_SECONDS, "the revision to be refused")
    assert "model.onnx" in desired()["reason"]
    assert constant_of(ask(caller, "sum")) == 1.0

    # v2 is damaged, v1 serves, the process starts anew: v1 serves again.
    before = running.kill("inference")
    running.wait_back("inference", before)
    wait_until(lambda: answers(caller, "sum", 1.0), SERVE_SECONDS, "version 1 after the restart")


def test_predictions_go_on_while_the_registry_stands_still_and_a_change_arrives_after(
    running: RunningPlatform, caller: Caller
) -> None:
    serve(caller, "sum", 1.0)
    registry = psutil.Process(running.part("registry")["pid"])
    registry.send_signal(signal.SIGSTOP)
    try:
        assert constant_of(ask(caller, "sum")) == 1.0
    finally:
        registry.send_signal(signal.SIGCONT)
    before = running.kill("registry")
    assert constant_of(ask(caller, "sum")) == 1.0
    running.wait_back("registry", before)
    serve(caller, "sum", 2.0)


def test_inference_that_starts_without_its_registry_is_ready_from_its_snapshot(
    running: RunningPlatform, caller: Caller
) -> None:
    serve(caller, "sum", 1.0)
    registry = psutil.Process(running.part("registry")["pid"])
    registry.send_signal(signal.SIGSTOP)
    try:
        before = running.kill("inference")
        running.wait_back("inference", before)
        ready = caller.inference.get
        wait_until(lambda: ready("/v2/health/ready").status_code == 200, SERVE_SECONDS, "inference to be ready")
    finally:
        registry.send_signal(signal.SIGCONT)
    wait_until(lambda: answers(caller, "sum", 1.0), SERVE_SECONDS, "an answer")
