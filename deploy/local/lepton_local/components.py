"""The list of processes that make up a platform, in the order in which they start.

Each service reads its settings from `LEPTON_<SERVICE>_<FIELD>`. What stands here is the wiring: addresses, files,
credentials. A service's other settings keep their defaults, or what the user's own environment says
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
# Work first, then doors, then the truth, then what it stands on (PROTOCOLS, 12).
DRAIN_ORDER = ("trainer", "inference", "gateway", "registry", "objects", "queue")


@dataclass(frozen=True)
class Part:
    """`stop_seconds`: how long it may drain after SIGTERM before its whole session is killed."""

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
    """What the parts need to find each other."""

    home: Home
    ports: Mapping[str, int]
    keys: Keys
    settings: LocalSettings

    def address(self, name: str) -> str:
        """For the parts themselves."""
        return f"{LOOPBACK}:{self.ports[name]}"

    def listen(self, name: str) -> str:
        """What the part itself binds."""
        return f"{port_hosts(self.settings)[name]}:{self.ports[name]}"

    def public(self, name: str) -> str:
        """For clients."""
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


def build_parts(wiring: Wiring) -> list[Part]:
    makers: dict[str, Callable[[Wiring], Part]] = {
        "queue": queue_part,
        "objects": objects_part,
        "registry": registry_part,
        "gateway": gateway_part,
        "inference": inference_part,
        "trainer": trainer_part,
    }
    if wiring.settings.broker_url:
        del makers["queue"]
    if wiring.settings.object_store.endpoint:
        del makers["objects"]
    return [make(wiring) for make in makers.values()]


def port_hosts(settings: LocalSettings) -> dict[str, str]:
    """The host on which each port is bound. Servers that run elsewhere have no port here."""
    public = ALL_ADDRESSES if settings.public_host else LOOPBACK
    hosts = dict.fromkeys(("gateway_http", "gateway_grpc", "inference_http", "inference_grpc"), public)
    hosts["registry"] = LOOPBACK
    if not settings.broker_url:
        hosts["queue"] = LOOPBACK
    if not settings.object_store.endpoint:
        hosts["objects"] = public
    return hosts


def queue_part(wiring: Wiring) -> Part:
    port = wiring.ports["queue"]
    return Part(
        name="queue",
        command=valkey_command(wiring.home.queue, port, wiring.keys.queue_passwords, wiring.settings.queue_max_bytes),
        environment={},
        ready=queue_answers(wiring.broker_url("services")),
        stop_seconds=10,
        ports={"redis": port},
    )


def objects_part(wiring: Wiring) -> Part:
    port = wiring.ports["objects"]
    return Part(
        name="objects",
        command=rclone_command(wiring.home.objects, wiring.listen("objects")),
        environment=rclone_environment(wiring.keys.store_access_key, wiring.keys.store_secret_key),
        ready=http_answers(port, "/", below_status=500),  # an unsigned request is refused, which is an answer
        stop_seconds=10,
        ports={"s3": port},
    )


def registry_part(wiring: Wiring) -> Part:
    port = wiring.ports["registry"]
    return Part(
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


def gateway_part(wiring: Wiring) -> Part:
    environment = {
        "BROKER_URL": wiring.broker_url("services"),
        "INFERENCE_URL": f"http://{wiring.address('inference_http')}",
    }
    return _part_for_clients(wiring, "gateway", environment, stop_seconds=10)


def inference_part(wiring: Wiring) -> Part:
    return _part_for_clients(wiring, "inference", {"CACHE_DIR": str(wiring.home.cache)}, stop_seconds=20)


def _part_for_clients(wiring: Wiring, name: str, environment: Mapping[str, str], *, stop_seconds: float) -> Part:
    """A service that clients call, over HTTP and gRPC, and that itself calls the registry."""
    http, rpc = f"{name}_http", f"{name}_grpc"
    settings = {
        "HTTP_LISTEN": wiring.listen(http),
        "GRPC_LISTEN": wiring.listen(rpc),
        "REGISTRY_ADDRESS": wiring.address("registry"),
        "SERVICE_TOKEN_FILE": wiring.token_file(name),
        **environment,
    }
    return Part(
        name=name,
        command=_service(f"lepton_{name}"),
        environment={f"LEPTON_{name.upper()}_{setting}": value for setting, value in settings.items()},
        ready=http_answers(wiring.ports[http], "/healthz"),
        stop_seconds=stop_seconds,
        after=("registry",),
        ports={"http": wiring.ports[http], "grpc": wiring.ports[rpc]},
    )


def trainer_part(wiring: Wiring) -> Part:
    ready_file = wiring.home.worker / "ready"
    return Part(
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
        stop_seconds=30,  # time to report a last checkpoint before its run is released
        after=("registry",),
        ready_file=ready_file,
    )


def _service(package: str) -> list[str]:
    # -P: a file in the working directory must not stand in for a module of the same name.
    return [sys.executable, "-P", "-m", f"{package}.main"]
