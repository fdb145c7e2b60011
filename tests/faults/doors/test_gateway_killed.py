"""The gateway is killed while submissions come in: whoever was not answered asks again, and there is one run a key."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from celery import Celery
from redis import Redis

from lepton import Client
from lepton_core.queue import SUBMISSION_QUEUE, SUBMISSION_STREAM, SUBMIT_TASK, reply_stream
from lepton_fixtures.archives import zipped
from lepton_fixtures.callers import Caller, key
from lepton_fixtures.databases import postgres_database
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until
from lepton_fixtures.submissions import Submission, message, runs_named

CLIENTS = 12
KEYS_A_ROUND = 240
ROUNDS = 8
TRAIN = {"target": "kind", "epochs": 1}
# So many ranks that no worker here takes it: what is submitted stays queued, and nothing trains beside the test.
JOB: dict[str, Any] = {"recipe": "tabular", "data": "table", "train": TRAIN, "resources": {"ranks": 64}}

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def mortal(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningPlatform]:
    """A platform on either database, with the dataset `table`."""
    settings: dict[str, str] = {}
    with ExitStack() as stack:
        if request.param == "postgres":
            folder = cast("Path", request.getfixturevalue("postgres_folder"))
            settings["LEPTON_LOCAL_DATABASE_URL"] = stack.enter_context(postgres_database(folder))
        running = RunningPlatform(tmp_path_factory.mktemp(f"mortal-{request.param}") / "home", settings)
        stack.callback(running.stop)
        archive = zipped({"table.csv": b"width,kind\n" + b"1,a\n2,b\n" * 30})
        answer = httpx.post(
            f"{running.url('gateway')}/v1/datasets/table/versions",
            content=archive.content,
            headers={"authorization": key(running.api_key), **archive.headers},
        )
        assert answer.status_code == 201, answer.text
        yield running


def waiting(name: str) -> dict[str, Any]:
    return {**JOB, "name": name}


def round_with_a_kill(platform: RunningPlatform, caller: Caller, number: int) -> list[Submission]:
    """Many keys at once; the gateway dies when a part of them was answered; all are answered in the end."""
    sent = [Submission(waiting(f"job-{number}-{index}"), by_grpc=index % 3 == 0) for index in range(KEYS_A_ROUND)]
    answered = threading.Semaphore(0)

    def insist(submission: Submission) -> None:
        submission.insist(caller)
        answered.release()

    with ThreadPoolExecutor(CLIENTS) as pool:
        futures: list[Future[None]] = [pool.submit(insist, submission) for submission in sent]
        for _ in range(KEYS_A_ROUND // 4):
            assert answered.acquire(timeout=60)
        platform.wait_back("gateway", platform.kill("gateway"))
        for future in futures:
            future.result()
    return sent


def test_who_was_not_answered_asks_again_and_there_is_one_run_a_key(mortal: RunningPlatform) -> None:
    caller = Caller(mortal, key(mortal.api_key))
    sent: list[Submission] = []
    for number in range(ROUNDS):
        sent += round_with_a_kill(mortal, caller, number)
        # The sequence in question: committed, and killed before the answer left.
        if number > 0 and any(submission.answer_was_lost for submission in sent):
            break
    else:
        pytest.fail(f"in {ROUNDS} kills no answer was lost after its commit: this test shows nothing")
    assert runs_named(mortal, "job-") == Counter(submission.name for submission in sent)
    assert len({submission.run for submission in sent}) == len(sent)
    for submission in sent:
        first, submission.by_grpc = submission.run, not submission.by_grpc
        assert submission.send(caller)
        assert submission.run == first, "by the other door"
    caller.close()


def test_the_python_client_asks_again_by_itself(mortal: RunningPlatform) -> None:
    names = [f"client-{index}" for index in range(60)]

    def submit(client: Client, name: str) -> str:
        return client.jobs.submit(waiting(name), progress=False).id

    with ThreadPoolExecutor(8) as pool:
        client = mortal.client()
        futures = [pool.submit(submit, client, name) for name in names]
        futures[10].result()
        mortal.wait_back("gateway", mortal.kill("gateway"))
        assert len({future.result() for future in futures}) == len(names)
    assert runs_named(mortal, "client-") == Counter(names)


def test_messages_thrice_out_of_order_and_through_kills_are_one_run_each(mortal: RunningPlatform) -> None:
    once = [message(waiting(f"once-{index}")) for index in range(30)]
    thrice = [message(waiting(f"thrice-{index}")) for index in range(30)]
    order = once + thrice * 3
    random.Random(7).shuffle(order)
    celery = Celery(broker=mortal.queue_url("producers"))
    celery.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
    replies = reply_stream("intake")
    with Redis.from_url(mortal.queue_url("producers"), decode_responses=True) as redis:
        for index, each in enumerate(order):
            if index % 3 == 0:
                celery.send_task(SUBMIT_TASK, args=[each], queue=SUBMISSION_QUEUE)
            else:
                redis.xadd(SUBMISSION_STREAM, {"body": json.dumps(each)})
            if index in (40, 80):
                wait_until(lambda: redis.xrange(replies, count=1), 60, "the first replies")
                mortal.wait_back("gateway", mortal.kill("gateway"))

        def runs_of_replies() -> dict[str, set[str]]:
            runs: dict[str, set[str]] = {}
            for _, fields in cast("Any", redis.xrange(replies)):
                assert fields["status"] == "accepted", fields
                runs.setdefault(fields["message_id"], set()).add(fields["run_id"])
            return runs

        # What a killed gateway had in hand is taken over by the next one when it has lain idle for 30 s.
        wait_until(lambda: len(runs_of_replies()) == len(once) + len(thrice), 120, "a reply to every message")
        assert all(len(runs) == 1 for runs in runs_of_replies().values())
    celery.close()
    for prefix, messages in (("once-", once), ("thrice-", thrice)):
        assert runs_named(mortal, prefix) == Counter(each["job"]["name"] for each in messages)
