"""`up` and `down`: the whole platform in one home."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import psutil

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.signals import act_on
from lepton_local.components import DRAIN_ORDER, Component, Wiring, build_components, port_hosts
from lepton_local.home import Home
from lepton_local.keys import Keys, ensure_keys, write_login
from lepton_local.leftovers import end_leftovers
from lepton_local.ports import choose_ports, is_free
from lepton_local.processes import Supervisor, Watched
from lepton_local.settings import LocalSettings
from lepton_local.state import ComponentStatus, PlatformStatus, find_runner, read_status, runner_lock, write_status

ORPHAN_STOP_SECONDS = 10.0
PORT_TRIES = 3
DOWN_SECONDS = 90.0

Say = Callable[[str], None]
Said = TypeVar("Said")


class Platform:
    """One start of the platform. `say` gets a line at every change, `on_ready` the status when all components serve."""

    def __init__(
        self,
        home: Home,
        settings: LocalSettings,
        environ: Mapping[str, str],
        say: Say,
        on_ready: Callable[[PlatformStatus], None],
        build: Callable[[Wiring], list[Component]] = build_components,
    ) -> None:
        self._home = home
        self._settings = settings
        self._environ = environ
        self._say = _never_failing(say)
        self._on_ready = _never_failing(on_ready)
        self._build = build
        self._ready = False
        self._moved: list[str] = []
        self._supervisor: Supervisor | None = None
        self._wiring: Wiring | None = None

    def up(self) -> None:
        """Runs until SIGTERM or SIGINT, then drains. A second signal kills at once what still drains.

        Raises ALREADY_EXISTS if a platform already runs from this home, and the errors of `Supervisor.start`.
        """
        self._home.create()
        with runner_lock(self._home), _stop_signals() as signals:
            # The trainer sets the access to its own folder; the folders above it are ours.
            self._home.let_through(others=bool(self._environ.get("LEPTON_TRAINER_RUN_AS")))
            end_leftovers(self._home.marker, DRAIN_ORDER, ORPHAN_STOP_SECONDS, self._say)
            self._check_external_services()
            try:
                if self._start(ensure_keys(self._home), signals.stop):
                    self._serve(signals.stop)
            finally:
                self._drain(lambda: signals.count > 1)
                self._home.state.unlink(missing_ok=True)

    def _check_external_services(self) -> None:
        if self._settings.broker_url or self._settings.object_store.endpoint:
            # Imported here, since the clients' packages take as long to load as everything else here.
            from lepton_local.external_services import check_external_services

            check_external_services(self._settings, self._say)

    def _start(self, keys: Keys, stop: threading.Event) -> bool:
        for tries_left in reversed(range(PORT_TRIES)):
            hosts = port_hosts(self._settings)
            self._moved.clear()
            ports = choose_ports(hosts, self._home.ports, any_free=self._settings.free_ports, say=self._port_moved)
            self._wiring = Wiring(self._home, ports, keys, self._settings)
            self._supervisor = Supervisor(
                self._build(self._wiring),
                self._home,
                report=self._changed,
                environ=self._environ,
            )
            try:
                return self._supervisor.start(self._settings.start_seconds, stop)
            except LeptonError:
                self._drain(lambda: False)
                # Two platforms that start at the same time may choose the same ports; one of them then cannot bind.
                if not tries_left or all(is_free(port, hosts[name]) for name, port in ports.items()):
                    raise
                self._say("another program has taken a port; starting again with other ports")
        raise AssertionError("unreachable")

    def _serve(self, stop: threading.Event) -> None:
        assert self._supervisor is not None
        assert self._wiring is not None
        self._ready = True
        assert self._wiring is not None
        # For commands on this machine, so not the public name.
        write_login(self._home, f"http://{self._wiring.address('gateway_http')}")
        status = self._write_status()
        self._on_ready(status)
        self._supervisor.watch(stop)

    def _drain(self, hurry: Callable[[], bool]) -> None:
        if self._supervisor is not None:
            self._supervisor.drain(DRAIN_ORDER, hurry)
            self._supervisor = None

    def _port_moved(self, line: str) -> None:
        self._moved.append(line)
        self._say(line)

    def _changed(self, watched: Watched, text: str) -> None:
        self._say(f"{watched.component.name}: {text}")
        try:
            self._write_status()
        except OSError as error:
            # On a full disk, components are still to be restarted and drained.
            self._say(f"{self._home.state} is out of date: {error.strerror}")

    def _write_status(self) -> PlatformStatus:
        components = self._supervisor.watched.values() if self._supervisor else ()
        status = PlatformStatus(
            home=str(self._home.folder),
            pid=psutil.Process().pid,
            ready=self._ready,
            urls=self._urls(),
            moved=list(self._moved),
            components=[_status_of(each) for each in components],
        )
        write_status(self._home, status)
        return status

    def _urls(self) -> dict[str, str]:
        assert self._wiring is not None
        address, public = self._wiring.address, self._wiring.public
        urls = {
            "gateway": f"http://{public('gateway_http')}",
            "gateway_grpc": public("gateway_grpc"),
            "inference": f"http://{public('inference_http')}",
            "inference_grpc": public("inference_grpc"),
            "registry_grpc": address("registry"),
        }
        if "queue" in self._wiring.ports:
            urls["queue"] = f"redis://{address('queue')}/0"
        if "objects" in self._wiring.ports:
            urls["objects"] = f"http://{public('objects')}"
        return urls


def _status_of(each: Watched) -> ComponentStatus:
    return ComponentStatus(
        name=each.component.name,
        state=each.state,
        pid=each.process.pid if each.process else None,
        ports=dict(each.component.ports),
        restarts=each.restarts,
        last_exit=each.last_exit,
        log=str(each.log),
    )


def _never_failing(say: Callable[[Said], None]) -> Callable[[Said], None]:
    """The output may be a closed terminal or a file on a full disk, which must not keep components from draining."""

    def said(what: Said) -> None:
        with contextlib.suppress(OSError):
            say(what)

    return said


class _Signals:
    def __init__(self) -> None:
        self.count = 0
        self.stop = threading.Event()

    def arrived(self) -> None:
        self.count += 1
        self.stop.set()


@contextmanager
def _stop_signals() -> Iterator[_Signals]:
    """SIGTERM, Ctrl-C and a closed terminal all request a drain."""
    signals = _Signals()
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = act_on(numbers, signals.arrived)
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def down(home: Home, say: Say, seconds: float = DOWN_SECONDS) -> bool:
    """Drains the platform of this home, or the leftovers of a killed runner. Returns False if nothing was running.

    Raises TIMEOUT if the runner does not end.
    """
    if home.id is None:
        return False
    runner = find_runner(home)
    if runner is None:
        return end_leftovers(home.marker, DRAIN_ORDER, ORPHAN_STOP_SECONDS, say) > 0
    deadline = time.monotonic() + seconds
    asked = False
    while (runner := find_runner(home)) is not None:
        process = runner.process()
        if process is not None and not asked:
            process.terminate()
            asked = True
        if time.monotonic() > deadline:
            raise LeptonError(
                ErrorCode.TIMEOUT, f"the runner (process {runner.pid}) is still draining; logs: {home.logs}"
            )
        time.sleep(0.05)
    return True


def wait_ready(home: Home, pid: int, ended: Callable[[], bool], seconds: float) -> PlatformStatus | None:
    """The status of the runner `pid` once it is ready; None if it ended or the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not ended():
        status = read_status(home)
        if status and status.pid == pid and status.ready:
            return status
        time.sleep(0.05)
    return None
