"""Celery over the real queue server, with the settings that hold."""

import json
import threading
from typing import Any

import pytest
import redis

from lepton_core.queue import HINT_QUEUE, WAKE_TASK, build_celery, reply_stream
from lepton_fixtures.servers import ValkeyServer


def test_a_hint_wakes_a_worker_once_and_leaves_nothing_behind(valkey: ValkeyServer) -> None:
    app = build_celery(valkey.url)
    woken: list[int] = []
    done = threading.Event()

    @app.task(name=WAKE_TASK)
    def wake() -> None:
        woken.append(1)
        done.set()

    worker: Any = app.WorkController(
        pool="solo", queues=[HINT_QUEUE], without_gossip=True, without_mingle=True, without_heartbeat=True
    )
    thread = threading.Thread(target=worker.start, daemon=True)
    thread.start()
    try:
        build_celery(valkey.url).send_task(WAKE_TASK, queue=HINT_QUEUE)
        assert done.wait(20)
    finally:
        worker.stop()
        thread.join(10)
    assert woken == [1]
    with redis.Redis.from_url(valkey.url) as client:
        assert not list(client.scan_iter("celery-task-meta-*"))
        assert client.llen(HINT_QUEUE) == 0


def test_messages_are_json_and_nothing_else_is_accepted(valkey: ValkeyServer) -> None:
    app = build_celery(valkey.url)
    app.send_task("lepton.other", args=[1], queue="test.json")
    with redis.Redis.from_url(valkey.url) as client:
        message = json.loads(client.rpop("test.json"))
    assert message["content-type"] == "application/json"
    assert app.conf.accept_content == ["json"]
    assert app.conf.worker_enable_remote_control is False


def test_a_dead_queue_server_fails_soon(unused_tcp_port: int) -> None:
    app = build_celery(f"redis://127.0.0.1:{unused_tcp_port}/0")
    with pytest.raises(Exception, match=r"111|refused"):
        app.send_task(WAKE_TASK, queue=HINT_QUEUE, retry=False)


def test_each_producer_has_its_own_replies() -> None:
    assert reply_stream("shop") == "lepton:replies:shop"
