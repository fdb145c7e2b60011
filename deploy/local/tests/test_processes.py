"""The supervisor, with small real processes as components."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_fixtures.processes import wait_until
from lepton_local import processes
from lepton_local.components import Component
from lepton_local.home import Home
from lepton_local.leftovers import find_marked
from lepton_local.processes import MAX_LOG_BYTES, State, Supervisor, rotate, rotate_open

Make = Callable[..., Component]
Supervise = Callable[[list[Component]], Supervisor]
Changes = list[tuple[str, str]]


@contextmanager
def watching(supervisor: Supervisor) -> Iterator[None]:
    """The watch loop in a thread, as the runner has it in its main one."""
    stop = threading.Event()
    thread = threading.Thread(target=supervisor.watch, args=(stop,))
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def start(supervisor: Supervisor, seconds: float = 20) -> None:
    assert supervisor.start(seconds, threading.Event())


def is_gone(pid: int) -> bool:
    """Ended; whether init has collected it yet is not ours to say."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def pid_of(supervisor: Supervisor, name: str) -> int:
    process = supervisor.watched[name].process
    assert process is not None
    return process.pid


def test_parts_start_after_those_they_stand_on(stand_in: Make, supervise: Supervise, changes: Changes) -> None:
    start(supervise([stand_in("gateway", after=("registry",)), stand_in("registry")]))
    assert changes.index(("registry", "ready")) < changes.index(("gateway", "starting"))


def test_a_killed_part_is_reported_and_restarted(stand_in: Make, supervise: Supervise, changes: Changes) -> None:
    supervisor = supervise([stand_in("gateway"), stand_in("registry")])
    start(supervisor)
    other, killed = pid_of(supervisor, "registry"), pid_of(supervisor, "gateway")
    with watching(supervisor):
        os.kill(killed, signal.SIGKILL)
        wait_until(lambda: supervisor.watched["gateway"].restarts == 1, what="a restart")
        wait_until(lambda: supervisor.watched["gateway"].state is State.READY, what="readiness after the restart")
    assert pid_of(supervisor, "gateway") != killed
    assert pid_of(supervisor, "registry") == other
    assert any(component == "gateway" and "killed by SIGKILL" in text for component, text in changes)


def test_a_part_that_cannot_be_started_again_yet_is_tried_later(
    stand_in: Make, supervise: Supervise, changes: Changes, home: Home
) -> None:
    supervisor = supervise([stand_in("gateway"), stand_in("registry")])
    start(supervisor)
    log, away = home.logs / "gateway.log", home.logs / "away"
    log.rename(away)
    log.mkdir()
    with watching(supervisor):
        os.kill(pid_of(supervisor, "gateway"), signal.SIGKILL)
        wait_until(lambda: any("cannot be started" in text for _, text in changes), 10, "a start that fails")
        log.rmdir()
        wait_until(lambda: supervisor.watched["gateway"].state is State.READY, 10, "the next start")
    assert supervisor.watched["registry"].state is State.READY


def test_a_part_that_keeps_crashing_waits_longer_each_time(
    stand_in: Make, supervise: Supervise, changes: Changes, home: Home
) -> None:
    crash_later = "open(READY, 'w').close(); import pathlib\nwhile not pathlib.Path('crash').exists(): time.sleep(0.01)"
    supervisor = supervise([stand_in("gateway", crash_later)])
    start(supervisor)
    (home.folder / "crash").touch()
    with watching(supervisor):
        wait_until(lambda: supervisor.watched["gateway"].restarts == 2, what="two restarts")
    waits = [text for _, text in changes if "restarting in" in text]
    assert "in 0.5 s" in waits[0]
    assert "in 1 s" in waits[1]


def test_drain_follows_the_order_and_waits_for_each(
    stand_in: Make, supervise: Supervise, changes: Changes, home: Home
) -> None:
    last_words = (
        "signal.signal(15, lambda *_: (open('said-NAME', 'w').close(), sys.exit(0)))\n"
        "open(READY, 'w').close()\nwhile True: signal.pause()"
    )
    names = ["registry", "gateway", "trainer"]
    supervisor = supervise([stand_in(name, last_words.replace("NAME", name)) for name in names])
    start(supervisor)
    supervisor.drain(["trainer", "gateway", "registry"], lambda: False)
    assert [component for component, text in changes if text == "stopped"] == ["trainer", "gateway", "registry"]
    for before, after in (("trainer", "gateway"), ("gateway", "registry")):
        assert changes.index((before, "stopped")) < changes.index((after, "stopping"))
    assert all((home.folder / f"said-{name}").exists() for name in names)


def test_a_part_that_ignores_sigterm_is_killed_with_its_children(
    stand_in: Make, supervise: Supervise, changes: Changes, home: Home
) -> None:
    # The child has a session of its own: killing the component's process group would not reach it.
    stubborn = (
        "import subprocess\nsignal.signal(15, signal.SIG_IGN)\n"
        "child_program = 'import signal; signal.signal(15, signal.SIG_IGN); signal.pause()'\n"
        "child = subprocess.Popen([sys.executable, '-c', child_program], start_new_session=True)\n"
        "open('child', 'w').write(str(child.pid))\nopen(READY, 'w').close()\n"
        "while True: signal.pause()"
    )
    supervisor = supervise([stand_in("trainer", stubborn, stop_seconds=0.3)])
    start(supervisor)
    child = int((home.folder / "child").read_text())
    supervisor.drain(["trainer"], lambda: False)
    assert changes[-1] == ("trainer", "killed: it did not stop within 0.3 s")
    wait_until(lambda: is_gone(child), what="the child's end")
    assert find_marked(home.marker) == {}


def test_a_part_whose_turn_has_not_come_is_restarted_during_the_drain(stand_in: Make, supervise: Supervise) -> None:
    slow = "signal.signal(15, signal.SIG_IGN)\nopen(READY, 'w').close()\nwhile True: signal.pause()"
    supervisor = supervise([stand_in("registry"), stand_in("trainer", slow)])
    start(supervisor)
    os.kill(pid_of(supervisor, "registry"), signal.SIGKILL)
    supervisor.drain(["trainer"], lambda: supervisor.watched["registry"].restarts == 1)
    assert supervisor.watched["registry"].restarts == 1


def test_a_part_that_ends_at_its_start_is_told_with_its_log(stand_in: Make, supervise: Supervise) -> None:
    supervisor = supervise(
        [stand_in("registry", "print('the database is newer than this program'); sys.exit(3)  # without READY")]
    )
    supervisor.watched["registry"].log.write_text("what an earlier start said\n")
    with pytest.raises(LeptonError) as caught:
        start(supervisor)
    assert caught.value.code is ErrorCode.FAILED_PRECONDITION
    assert "registry exited with status 3" in str(caught.value)
    assert "the database is newer" in str(caught.value)
    assert "earlier" not in str(caught.value)


def test_a_part_that_never_serves_is_named(stand_in: Make, supervise: Supervise) -> None:
    supervisor = supervise([stand_in("gateway"), stand_in("inference", "READY; signal.pause()")])
    with pytest.raises(LeptonError, match=r"not ready after 0\.5 s: inference"):
        start(supervisor, seconds=0.5)


def test_other_services_settings_do_not_reach_a_part(
    stand_in: Make, supervise: Supervise, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LEPTON_REGISTRY_LEASE_SECONDS", "5")
    monkeypatch.setenv("LEPTON_GATEWAY_MAX_BODY_BYTES", "7")
    script = "open('seen', 'w').write(' '.join(os.environ))\nopen(READY, 'w').close()\nsignal.pause()"
    start(supervise([stand_in("registry", script)]))
    seen = (home.folder / "seen").read_text().split()
    assert "LEPTON_REGISTRY_LEASE_SECONDS" in seen
    assert "LEPTON_GATEWAY_MAX_BODY_BYTES" not in seen


def test_a_big_log_is_put_aside_and_the_oldest_goes(home: Home) -> None:
    log = home.logs / "registry.log"
    for generation in range(5):
        log.write_bytes(str(generation).encode() * MAX_LOG_BYTES)
        rotate(log)
    kept = sorted(home.logs.iterdir())
    assert [path.name for path in kept] == ["registry.log.1", "registry.log.2", "registry.log.3"]
    assert [path.read_bytes()[:1] for path in kept] == [b"4", b"3", b"2"]


def test_a_log_is_rotated_while_its_component_writes_to_it(
    stand_in: Make, supervise: Supervise, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "MAX_LOG_BYTES", 10_000)
    writes = "open(READY, 'w').close()\nwhile True:\n    print('x' * 99, flush=True)\n    time.sleep(0.001)"
    supervisor = supervise([stand_in("gateway", writes)])
    start(supervisor)
    log = home.logs / "gateway.log"
    with watching(supervisor):
        wait_until(lambda: log.with_name("gateway.log.3").exists(), 60, "three rotations")
    kept = sorted(path.name for path in home.logs.glob("gateway.log*"))
    assert kept == ["gateway.log", "gateway.log.1", "gateway.log.2", "gateway.log.3"]
    assert supervisor.watched["gateway"].restarts == 0
    assert b"\0" not in log.read_bytes(), "it goes on at the start of the file"


def test_a_big_log_that_cannot_be_kept_is_emptied(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a full disk it must not grow on, nor end the runner."""

    def full(_log: Path, copy: Path) -> None:
        copy.write_bytes(b"a part")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shutil, "copyfile", full)
    log = home.logs / "registry.log"
    log.write_bytes(b"x" * MAX_LOG_BYTES)
    assert rotate_open(log)
    assert [(path.name, path.stat().st_size) for path in home.logs.iterdir()] == [("registry.log", 0)]
