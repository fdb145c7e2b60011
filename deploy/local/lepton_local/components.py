"""The components of a platform: its processes, in the order in which they start.

Each service reads its settings from `LEPTON_<SERVICE>_<FIELD>`. This module sets only the wiring: addresses, files and
credentials. A service's other settings have their defaults, or the values of the user's environment
(`LEPTON_REGISTRY_LEASE_SECONDS=30 lepton up`).
"""

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from lepton_local.home import BUCKET, Home
from lepton_local.keys import Keys
from lepton_local.ports import ALL_ADDRESSES, LOOPBACK
from lepton_local.readiness import Probe, file_appears, grpc_serves, http_answers, queue_answers
from lepton_local.servers import rclone_command, rclone_environment, valkey_command
from lepton_local.settings import LocalSettings, ObjectStore

REGION = "us-east-1"
# Each component stops before those that it uses: a trainer that drains needs the registry.
DRAIN_ORDER = ("trainer", "inference", "gateway", "registry", "objects", "queue")


@dataclass(frozen=True)
class Component:
    """A process of the platform. `stop_seconds`: how long it may drain after SIGTERM before its session is killed."""

    name: str
    command: list[str]
    environment: Mapping[str, str] = field(repr=False)  # holds credentials
    ready: Probe = field(repr=False)
    stop_seconds: float
    after: tuple[str, ...] = ()
    ports: Mapping[str, int] = field(default_factory=dict)
    ready_file: Path | None = None


@dataclass(frozen=True)
class Wiring:
    """What the components need to connect to each other."""

    home: Home
    ports: Mapping[str, int]
    keys: Keys
    settings: LocalSettings

    def address(self, name: str) -> str:
        """The address for other components."""
        return f"{LOOPBACK}:{self.ports[name]}"

    def listen(self, name: str) -> str:
        """The address on which the component listens."""
        return f"{port_hosts(self.settings)[name]}:{self.ports[name]}"

    def public(self, name: str) -> str:
        """The address for clients."""
        return f"{self.settings.public_host or LOOPBACK}:{self.ports[name]}"

    def broker_url(self, user: str) -> str:
        if self.settings.broker_url:
            return self.settings.broker_url
        return f"redis://{user}:{quote(self.keys.queue_passwords[user])}@{self.address('queue')}/0"

    @property
    def database_url(self) -> str:
        return self.settings.database_url or f"sqlite:///{self.home.registry / 'registry.db'}"

    def token_file(self, service: str) -> str:
        return str(self.keys.token_files[service])


def build_components(wiring: Wiring) -> list[Component]:
    makers: dict[str, Callable[[Wiring], Component]] = {
        "queue": queue_component,
        "objects": objects_component,
        "registry": registry_component,
        "gateway": gateway_component,
        "inference": inference_component,
        "trainer": trainer_component,
    }
    if wiring.settings.broker_url:
        del makers["queue"]
    if wiring.settings.object_store.endpoint:
        del makers["objects"]
    return [make(wiring) for make in makers.values()]


def port_hosts(settings: LocalSettings) -> dict[str, str]:
    """The host on which each port is bound. External servers have no port here."""
    public = ALL_ADDRESSES if settings.public_host else LOOPBACK
    hosts = dict.fromkeys(("gateway_http", "gateway_grpc", "inference_http", "inference_grpc"), public)
    hosts["registry"] = LOOPBACK
    if not settings.broker_url:
        hosts["queue"] = LOOPBACK
    if not settings.object_store.endpoint:
        hosts["objects"] = public
    return hosts


def queue_component(wiring: Wiring) -> Component:
    port = wiring.ports["queue"]
    return Component(
        name="queue",
        command=valkey_command(wiring.home.queue, port, wiring.keys.queue_passwords, wiring.settings.queue_max_bytes),
        environment={},
        ready=queue_answers(wiring.broker_url("services")),
        stop_seconds=10,
        ports={"redis": port},
    )


def objects_component(wiring: Wiring) -> Component:
    port = wiring.ports["objects"]
    return Component(
        name="objects",
        command=rclone_command(wiring.home.objects, wiring.listen("objects")),
        environment=rclone_environment(wiring.keys.store_access_key, wiring.keys.store_secret_key),
        ready=http_answers(
            port, "/", below_status=500
        ),  # an unsigned request is refused, which shows that the server answers
        stop_seconds=10,
        ports={"s3": port},
    )


def registry_component(wiring: Wiring) -> Component:
    port = wiring.ports["registry"]
    return Component(
        name="registry",
        command=_service("lepton_registry"),
        environment={
            "LEPTON_REGISTRY_LISTEN": wiring.listen("registry"),
            "LEPTON_REGISTRY_DATABASE_URL": wiring.database_url,
            "LEPTON_REGISTRY_BROKER_URL": wiring.broker_url("services"),
            "LEPTON_REGISTRY_SERVICE_TOKENS_FILE": str(wiring.keys.service_tokens_file),
            "LEPTON_REGISTRY_ATTEMPT_TOKEN_SECRET_FILE": str(wiring.keys.attempt_secret_file),
            "LEPTON_REGISTRY_OPERATOR_KEY_FILE": str(wiring.keys.operator_key_file),
            **_object_store(wiring),
        },
        ready=grpc_serves(port),
        stop_seconds=10,
        after=("queue", "objects"),
        ports={"grpc": port},
    )


def _object_store(wiring: Wiring) -> dict[str, str]:
    store = wiring.settings.object_store
    if not store.endpoint:
        store = ObjectStore(
            endpoint=f"http://{wiring.address('objects')}",
            access_key=wiring.keys.store_access_key,
            secret_key=wiring.keys.store_secret_key,
            bucket=BUCKET,
            region=REGION,
            public_url=f"http://{wiring.public('objects')}",
        )
    values: dict[str, str] = store.model_dump()
    values["public_url"] = store.public_url or store.endpoint
    return {f"LEPTON_REGISTRY_OBJECT_STORE__{name.upper()}": value for name, value in values.items()}


def gateway_component(wiring: Wiring) -> Component:
    environment = {
        "BROKER_URL": wiring.broker_url("services"),
        "INFERENCE_URL": f"http://{wiring.address('inference_http')}",
    }
    return _component_for_clients(wiring, "gateway", environment, stop_seconds=10)


def inference_component(wiring: Wiring) -> Component:
    return _component_for_clients(wiring, "inference", {"CACHE_DIR": str(wiring.home.cache)}, stop_seconds=20)


def _component_for_clients(
    wiring: Wiring, name: str, environment: Mapping[str, str], *, stop_seconds: float
) -> Component:
    """A service with clients over HTTP and gRPC, which itself calls the registry."""
    http, rpc = f"{name}_http", f"{name}_grpc"
    settings = {
        "HTTP_LISTEN": wiring.listen(http),
        "GRPC_LISTEN": wiring.listen(rpc),
        "REGISTRY_ADDRESS": wiring.address("registry"),
        "SERVICE_TOKEN_FILE": wiring.token_file(name),
        **environment,
    }
    return Component(
        name=name,
        command=_service(f"lepton_{name}"),
        environment={f"LEPTON_{name.upper()}_{setting}": value for setting, value in settings.items()},
        ready=http_answers(wiring.ports[http], "/healthz"),
        stop_seconds=stop_seconds,
        after=("registry",),
        ports={"http": wiring.ports[http], "grpc": wiring.ports[rpc]},
    )


def trainer_component(wiring: Wiring) -> Component:
    ready_file = wiring.home.worker / "ready"
    return Component(
        name="trainer",
        command=_service("lepton_trainer"),
        environment={
            "LEPTON_TRAINER_HOME": str(wiring.home.worker),
            "LEPTON_TRAINER_REGISTRY_ADDRESS": wiring.address("registry"),
            "LEPTON_TRAINER_POOL_TOKEN_FILE": wiring.token_file("trainer"),
            "LEPTON_TRAINER_BROKER_URL": wiring.broker_url("workers"),
            "LEPTON_TRAINER_READY_FILE": str(ready_file),
        },
        ready=file_appears(ready_file),
        stop_seconds=30,  # time to send a last checkpoint before the run is released
        after=("registry",),
        ready_file=ready_file,
    )


def _service(package: str) -> list[str]:
    # -P: a file in the working directory must not replace a module of the same name.
    return [sys.executable, "-P", "-m", f"{package}.main"]
