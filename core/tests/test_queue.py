"""Celery over the real queue server, with the settings that hold."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import redis

from lepton_core.queue import WAKE_TASK, WAKEUP_QUEUE, build_celery, reply_stream
from lepton_fixtures.servers import ValkeyServer

# A process, as workers are: Celery's consumer cannot be stopped from another thread without losing sockets.
WORKER = """
import sys
from lepton_core.queue import WAKEUP_QUEUE, WAKE_TASK, build_celery

app = build_celery(sys.argv[1])


@app.task(name=WAKE_TASK)
def wake():
    # Not stdout: Celery takes that over for its log.
    print("woken", flush=True, file=sys.__stdout__)


print("ready", flush=True)
app.WorkController(
    pool="solo", queues=[WAKEUP_QUEUE], without_gossip=True, without_mingle=True, without_heartbeat=True
).start()
"""


@contextmanager
def worker(url: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen([sys.executable, "-c", WORKER, url], stdout=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def publish(url: str, task: str, queue: str) -> None:
    app = build_celery(url)
    with app.connection_for_write() as connection:
        app.send_task(task, queue=queue, connection=connection)


def test_a_hint_wakes_a_worker_and_leaves_nothing_behind(valkey: ValkeyServer) -> None:
    with redis.Redis.from_url(valkey.url) as client, worker(valkey.url) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        publish(valkey.url, WAKE_TASK, WAKEUP_QUEUE)
        assert process.stdout.readline() == "woken\n"
        deadline = time.monotonic() + 10
        while client.hlen(f"{WAKEUP_QUEUE}.unacked"):
            assert time.monotonic() < deadline
        assert client.llen(WAKEUP_QUEUE) == 0
        assert not list(client.scan_iter("celery-task-meta-*"))


def test_messages_are_json_and_nothing_else_is_accepted(valkey: ValkeyServer) -> None:
    publish(valkey.url, "lepton.other", "test.json")
    with redis.Redis.from_url(valkey.url) as client:
        message = json.loads(client.rpop("test.json"))
    assert message["content-type"] == "application/json"
    conf = build_celery(valkey.url).conf
    assert conf.accept_content == ["json"]
    assert conf.worker_enable_remote_control is False


def test_a_dead_queue_server_fails_soon(unused_tcp_port: int) -> None:
    app = build_celery(f"redis://127.0.0.1:{unused_tcp_port}/0")
    with pytest.raises(Exception, match=r"111|refused"):
        app.send_task(WAKE_TASK, queue=WAKEUP_QUEUE, retry=False)


def test_each_producer_has_its_own_replies() -> None:
    assert reply_stream("shop") == "lepton:replies:shop"
