"""A home from start to stop, by real runners of real servers; tests/ at the top starts the whole platform."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import redis

from lepton.transport.login import find_login
from lepton_core.errors import ErrorCode, LeptonError
from lepton_fixtures.processes import wait_until
from lepton_local.home import Home, find_home
from lepton_local.keys import ensure_keys
from lepton_local.leftovers import MARKER, find_marked
from lepton_local.platform import down
from lepton_local.state import PlatformStatus, find_runner, read_status

Run = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def run(home: Home) -> Iterator[Run]:
    """Starts a runner and waits until it is up, or has ended."""
    runners: list[subprocess.Popen[str]] = []

    def start(stdout: Any = subprocess.PIPE) -> subprocess.Popen[str]:
        command = [sys.executable, str(Path(__file__).parent / "servers_only.py"), str(home.folder)]
        runner = subprocess.Popen(command, stdout=stdout, stderr=subprocess.STDOUT, text=True)
        runners.append(runner)
        wait_until(lambda: is_up(home, runner.pid) or runner.poll() is not None, 20, "the runner to be up")
        return runner

    yield start
    for runner in runners:
        runner.kill()
        runner.communicate()


def is_up(home: Home, pid: int) -> bool:
    status = read_status(home)
    return bool(status and status.pid == pid and status.ready)


def status_of(home: Home) -> PlatformStatus:
    status = read_status(home)
    assert status is not None
    return status


def queue_pids(home: Home) -> set[int]:
    return {process.pid for process in find_marked(home.marker).get("queue", [])}


def queue_restarts(home: Home) -> int:
    return next(component.restarts for component in status_of(home).components if component.name == "queue")


def queue_of(home: Home) -> redis.Redis:
    password = ensure_keys(home).queue_passwords["services"]
    port = next(component.ports["redis"] for component in status_of(home).components if component.name == "queue")
    return redis.Redis(port=port, username="services", password=password, decode_responses=True)


def test_sigterm_drains_and_the_next_start_finds_old_data_at_the_old_address(home: Home, run: Run) -> None:
    first = run()
    before = status_of(home)
    with queue_of(home) as queue:
        queue.set("kept", "yes")
    first.send_signal(signal.SIGTERM)
    output, _ = first.communicate(timeout=20)
    assert first.returncode == 0
    assert output.index("objects: stopped") < output.index("queue: stopping")
    assert find_marked(home.marker) == {}
    assert not home.state.exists()

    run()
    assert status_of(home).urls == before.urls
    with queue_of(home) as queue:
        assert queue.get("kept") == "yes"


def test_a_second_runner_says_that_one_is_running_and_where(home: Home, run: Run) -> None:
    first = run()
    second = run()
    output, _ = second.communicate(timeout=10)
    assert second.returncode == 1
    for word in (str(home.folder), f"process {first.pid}", status_of(home).urls["gateway"], "lepton down"):
        assert word in output
    assert first.poll() is None
    assert all(component.state == "ready" for component in status_of(home).components)


def test_down_stops_a_running_platform(home: Home, run: Run) -> None:
    runner = run()
    assert down(home, lambda line: None)
    assert runner.wait(10) == 0
    assert not down(home, lambda line: None)


def test_parts_of_a_killed_runner_are_ended_by_the_next_one(home: Home, run: Run) -> None:
    first = run()
    left = {component.pid for component in status_of(home).components}
    first.kill()
    first.wait()
    assert {process.pid for found in find_marked(home.marker).values() for process in found} == left
    assert find_runner(home) is None

    second = run()
    assert is_up(home, second.pid)
    marked = {process.pid for found in find_marked(home.marker).values() for process in found}
    assert marked == {component.pid for component in status_of(home).components}
    assert marked.isdisjoint(left)


def test_down_ends_what_a_killed_runner_left(home: Home, run: Run) -> None:
    runner = run()
    runner.kill()
    runner.wait()
    said: list[str] = []
    assert down(home, said.append)
    assert [line.split(":")[0] for line in said] == ["objects", "queue"]
    assert find_marked(home.marker) == {}


def test_processes_of_another_home_are_left_alone(home: Home, tmp_path: Path) -> None:
    other = Home(tmp_path / "other")
    other.create()
    program = [sys.executable, "-c", "import signal; print('up', flush=True); signal.pause()"]
    environment = {MARKER: f"{other.marker}/queue"}
    with subprocess.Popen(program, env=environment, stdout=subprocess.PIPE) as bystander:
        assert bystander.stdout is not None
        assert bystander.stdout.readline() == b"up\n"
        assert not down(home, lambda line: None)
        assert bystander.poll() is None
        bystander.kill()


def test_the_login_and_the_key_are_for_the_owner_only(home: Home, run: Run) -> None:
    runner = run()
    login = find_login(environ={"LEPTON_HOME": str(home.folder)})
    assert login.url == status_of(home).urls["gateway"]
    assert login.api_key.startswith("lpk_")
    for path in home.folder.rglob("*"):
        if path.is_file() and path.stat().st_mode & 0o077:
            assert login.api_key.encode() not in path.read_bytes(), path
    runner.send_signal(signal.SIGINT)
    output, _ = runner.communicate(timeout=20)
    assert login.api_key not in output


@pytest.mark.parametrize("file", ["operator.key", "gateway.token", "attempt-tokens.secret"])
@pytest.mark.parametrize("content", [b"", b"lpk_x\n", b"\xff" * 200])
def test_a_damaged_key_is_named(home: Home, file: str, content: bytes) -> None:
    ensure_keys(home)
    (home.keys / file).write_bytes(content)
    with pytest.raises(LeptonError, match=file) as caught:
        ensure_keys(home)
    assert caught.value.code is ErrorCode.FAILED_PRECONDITION
    (home.keys / file).unlink()
    ensure_keys(home)


def test_a_damaged_id_is_replaced(home: Home) -> None:
    (home.folder / "id").write_bytes(b"\xff\xfe")
    home.create()
    assert home.id is not None


def test_others_get_through_the_home_only_while_scripts_run_as_another_user(
    home: Home, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have to reach the worker's folder, which lets them through by itself; nothing else is open to them."""

    def mode(path: Path) -> int:
        return path.stat().st_mode & 0o777

    monkeypatch.setenv("LEPTON_TRAINER_RUN_AS", "somebody")
    run()
    assert mode(home.folder) == 0o711
    assert {mode(path) for path in home.folder.iterdir() if path.is_dir()} == {0o700}
    # Who only asks whether it runs, or starts it once more, shuts nobody out.
    home.create()
    assert mode(home.folder) == 0o711
    down(home, print)
    monkeypatch.delenv("LEPTON_TRAINER_RUN_AS")
    run()
    assert mode(home.folder) == 0o700


def test_a_crashed_server_is_restarted_and_reported(home: Home, run: Run) -> None:
    runner = run()
    pid = next(component.pid for component in status_of(home).components if component.name == "queue")
    psutil.Process(pid).kill()

    def recovered() -> bool:
        queue = next(component for component in status_of(home).components if component.name == "queue")
        return queue.state == "ready" and queue.restarts == 1 and queue.last_exit == "was killed by SIGKILL"

    wait_until(recovered, what="the queue server to be back")
    runner.send_signal(signal.SIGTERM)
    output, _ = runner.communicate(timeout=20)
    assert "queue: was killed by SIGKILL; restarting in 0.5 s" in output


@pytest.mark.parametrize("output", ["closed", "full"])
def test_output_that_cannot_be_written_keeps_nothing_from_draining(home: Home, run: Run, output: str) -> None:
    """As when the terminal is closed, or when its log is on a full disk."""
    reading, writing = os.pipe() if output == "closed" else (os.open(os.devnull, os.O_RDONLY), os.open("/dev/full", 1))
    runner = run(stdout=writing)
    os.close(writing)
    os.close(reading)
    pid = next(component.pid for component in status_of(home).components if component.name == "queue")
    psutil.Process(pid).kill()
    wait_until(lambda: queue_restarts(home) == 1, what="the queue server to be back")
    runner.send_signal(signal.SIGHUP)
    runner.wait(20)
    assert find_marked(home.marker) == {}
    assert not home.state.exists()


def test_a_status_that_cannot_be_written_keeps_nothing_from_being_restarted_and_drained(home: Home, run: Run) -> None:
    """As on a full disk."""
    runner = run()
    pid = next(component.pid for component in status_of(home).components if component.name == "queue")
    home.state.unlink()
    home.state.mkdir()
    psutil.Process(pid).kill()
    wait_until(lambda: pid not in queue_pids(home) and len(queue_pids(home)) == 1, 20, "another queue server")
    home.state.rmdir()
    runner.send_signal(signal.SIGTERM)
    output, _ = runner.communicate(timeout=20)
    assert (runner.returncode, find_marked(home.marker)) == (0, {})
    assert f"{home.state} is out of date: Is a directory" in output


def test_many_signals_at_once_drain_it_too(home: Home, run: Run) -> None:
    runner = run()
    with contextlib.suppress(ProcessLookupError):
        for _ in range(3000):
            os.kill(runner.pid, signal.SIGTERM)
    runner.communicate(timeout=20)
    assert find_marked(home.marker) == {}


@pytest.mark.parametrize(("chosen", "named", "found"), [("/a", "/b", "/a"), (None, "/b", "/b")])
def test_the_home_is_the_chosen_one_else_the_environment_s(chosen: str | None, named: str, found: str) -> None:
    home = find_home({"LEPTON_HOME": named}, Path(chosen) if chosen else None)
    assert str(home.folder) == found
