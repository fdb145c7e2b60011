"""The bundled servers, as the platform starts them."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

import psutil
import pytest
import redis
from minio import Minio
from minio.error import S3Error
from redis.backoff import NoBackoff
from redis.retry import Retry

from lepton_core.queue import SUBMISSION_QUEUE, SUBMIT_TASK, WAKE_TASK, WAKEUP_QUEUE, build_celery
from lepton_fixtures.processes import wait_until
from lepton_local.components import Component, Wiring, objects_component, port_hosts, queue_component
from lepton_local.diagnosis import queue_logins, queue_memory
from lepton_local.home import BUCKET, Home
from lepton_local.keys import Keys, ensure_keys
from lepton_local.ports import choose_ports
from lepton_local.processes import State, Supervisor
from lepton_local.settings import LocalSettings


@dataclass
class Servers:
    supervisor: Supervisor
    keys: Keys
    wiring: Wiring

    def queue(self, user: str) -> redis.Redis:
        return redis.Redis.from_url(self.wiring.broker_url(user), decode_responses=True)

    def store(self, access_key: str, secret_key: str) -> Minio:
        return Minio(self.wiring.address("objects"), access_key, secret_key, secure=False, region="us-east-1")


@pytest.fixture
def servers(home: Home, supervise: Callable[[list[Component]], Supervisor]) -> Servers:
    keys = ensure_keys(home)
    wiring = Wiring(home, choose_ports(port_hosts(LocalSettings()), home.ports, any_free=True), keys, LocalSettings())
    supervisor = supervise([queue_component(wiring), objects_component(wiring)])
    assert supervisor.start(20, threading.Event())
    return Servers(supervisor, keys, wiring)


def restart(servers: Servers, name: str) -> None:
    """kill -9, and the supervisor's watch loop until it serves again."""
    watched = servers.supervisor.watched[name]
    assert watched.process is not None
    watched.process.kill()
    stop = threading.Event()
    thread = threading.Thread(target=servers.supervisor.watch, args=(stop,))
    thread.start()
    try:
        wait_until(lambda: watched.restarts == 1 and watched.state is State.READY, what=f"{name} to serve again")
    finally:
        stop.set()
        thread.join()


def test_queue_keeps_what_it_acknowledged_through_a_kill(servers: Servers) -> None:
    with servers.queue("producers") as producer, servers.queue("services") as service:
        entry = producer.xadd("lepton:submissions", {"body": "{}"})
        restart(servers, "queue")
        assert service.xrange("lepton:submissions") == [(entry, {"body": "{}"})]


def test_store_keeps_objects_through_a_kill(servers: Servers, home: Home) -> None:
    source = home.folder / "source"
    source.write_bytes(b"weights")
    store = servers.store(servers.keys.store_access_key, servers.keys.store_secret_key)
    store.fput_object(BUCKET, "a/b", str(source))
    restart(servers, "objects")
    store.fget_object(BUCKET, "a/b", str(home.folder / "back"))
    assert (home.folder / "back").read_bytes() == b"weights"


def test_store_refuses_a_foreign_key(servers: Servers) -> None:
    with pytest.raises(S3Error):
        servers.store("somebody", "secret").bucket_exists(BUCKET)


@pytest.mark.parametrize(
    ("user", "command"),
    [
        ("producers", ("XRANGE", "lepton:submissions", "-", "+")),
        ("producers", ("XADD", "lepton:replies:other", "*", "run", "x")),
        ("producers", ("LPUSH", "lepton.hints", "x")),
        ("producers", ("LRANGE", "lepton.submissions", "0", "-1")),
        ("producers", ("LPUSH", "lepton.submissions;7", "x")),
        ("producers", ("LPUSH", "lepton.submissions:70", "x")),
        ("producers", ("SADD", "_kombu.binding.x.lepton.submissions", "x")),
        ("producers", ("XTRIM", "lepton:submissions", "MAXLEN", "0")),
        ("producers", ("XDEL", "lepton:submissions", "0-1")),
        ("producers", ("XREAD", "STREAMS", "lepton:replies:other", "0")),
        ("producers", ("PUBLISH", "x", "x")),
        ("workers", ("LRANGE", "lepton.submissions", "0", "-1")),
        ("workers", ("HGETALL", "unacked")),
        ("workers", ("XADD", "lepton:submissions", "*", "body", "x")),
        ("workers", ("XREAD", "STREAMS", "lepton:replies:other", "0")),
        ("services", ("FLUSHALL",)),
        ("services", ("CONFIG", "GET", "*")),
    ],
)
def test_queue_users_are_kept_to_their_keys(servers: Servers, user: str, command: tuple[str, ...]) -> None:
    with servers.queue(user) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command)


HINTED = """
import sys
from lepton_core.queue import WAKEUP_QUEUE, WAKE_TASK, build_celery
app = build_celery(sys.argv[1])
def wake(): print("woken", flush=True)
app.task(name=WAKE_TASK)(wake)
alone = {"without_gossip": True, "without_mingle": True, "without_heartbeat": True}
app.WorkController(pool="solo", queues=[WAKEUP_QUEUE], **alone).start()
"""


def test_a_worker_hears_hints_with_a_worker_s_rights(servers: Servers) -> None:
    command = [sys.executable, "-c", HINTED, servers.wiring.broker_url("workers")]
    build_celery(servers.wiring.broker_url("services")).send_task(WAKE_TASK, queue=WAKEUP_QUEUE)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stderr is not None
        assert worker.stdout.readline() == "woken\n", worker.stderr.read()
        build_celery(servers.wiring.broker_url("services")).send_task(WAKE_TASK, queue=WAKEUP_QUEUE)
        assert worker.stdout.readline() == "woken\n"
        worker.kill()
        said = worker.stderr.read()
    assert "NOPERM" not in said
    with servers.queue("operator") as queue:
        assert cast("list[str]", queue.acl_log()) == []


def test_a_producer_calls_the_celery_task_with_a_producer_s_rights(servers: Servers) -> None:
    app = build_celery(servers.wiring.broker_url("producers"))
    app.send_task(SUBMIT_TASK, args=[{"message_id": "1"}], queue=SUBMISSION_QUEUE)
    with servers.queue("services") as queue:
        assert queue.llen(SUBMISSION_QUEUE) == 1


@pytest.mark.parametrize("separator", ["\x06\x16", ":"])
def test_a_producer_writes_to_the_list_of_each_priority(servers: Servers, separator: str) -> None:
    with servers.queue("producers") as producer:
        for number in range(1, 10):
            assert producer.lpush(f"{SUBMISSION_QUEUE}{separator}{number}", "x") == 1


def test_the_queue_has_a_bound_of_memory_and_evicts_nothing(servers: Servers) -> None:
    with servers.queue("operator") as queue:
        found = cast("dict[str, str]", queue.config_get("maxmemory*"))
    assert (found["maxmemory"], found["maxmemory-policy"]) == (str(1024**3), "noeviction")


def test_queue_refuses_strangers(servers: Servers) -> None:
    port = servers.wiring.ports["queue"]
    with (
        redis.Redis(port=port, retry=Retry(NoBackoff(), 0)) as client,
        pytest.raises(redis.exceptions.AuthenticationError),
    ):
        client.ping()


def test_refused_logins_are_counted_for_the_doctor(servers: Servers) -> None:
    port = servers.wiring.ports["queue"]
    with servers.queue("operator") as operator:
        assert queue_logins(operator) == []
        for _ in range(3):
            with (
                redis.Redis(port=port, username="producers", password="wrong", retry=Retry(NoBackoff(), 0)) as client,
                pytest.raises(redis.exceptions.AuthenticationError),
            ):
                client.ping()
        [finding] = queue_logins(operator)
        assert not finding.ok
        assert "3 logins" in finding.text
        assert "'producers'" in finding.text


def test_a_queue_that_is_nearly_full_is_a_finding(servers: Servers) -> None:
    with servers.queue("operator") as operator:
        assert queue_memory(operator) == []
        operator.config_set("maxmemory", operator.info("memory")["used_memory"])  # type: ignore[index]
        assert [finding.ok for finding in queue_memory(operator)] == [False]


def test_no_secret_is_readable_by_others_or_stands_on_a_command_line(servers: Servers, home: Home) -> None:
    assert stat.S_IMODE(home.keys.stat().st_mode) == 0o700
    for path in [*home.keys.iterdir(), home.queue / "users.acl", home.queue / "valkey.conf"]:
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    secrets = [servers.keys.store_secret_key, *servers.keys.queue_passwords.values()]
    for watched in servers.supervisor.watched.values():
        assert watched.process is not None
        arguments = " ".join(psutil.Process(watched.process.pid).cmdline())
        text = arguments + watched.log.read_text(errors="replace") + repr(watched.component) + repr(servers.wiring)
        assert not any(secret in text for secret in secrets)


def test_servers_listen_on_loopback_only(servers: Servers) -> None:
    for watched in servers.supervisor.watched.values():
        assert watched.process is not None
        connections = psutil.Process(watched.process.pid).net_connections()
        listening = {each.laddr.ip for each in connections if each.status == psutil.CONN_LISTEN}
        assert listening == {"127.0.0.1"}


def test_keys_stay_the_same_at_the_next_start(home: Home) -> None:
    first, second = ensure_keys(home), ensure_keys(home)
    assert first == second
    assert first.operator_key_file.read_text() == second.operator_key_file.read_text()
    assert os.listdir(home.keys)  # noqa: PTH208 - names only
