"""The queue's names, and one way to make a Celery app.

A message is a wake-up, or a body that was not accepted yet; the state is in the registry's database. Celery over Redis
loses and repeats messages by design (early acks, redelivery by wall clocks), so nothing here relies on delivery.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from celery import Celery

WAKEUP_QUEUE = "lepton.hints"  # the name on the wire, from the first release
WAKE_TASK = "lepton.wake"

SUBMISSION_QUEUE = "lepton.submissions"
SUBMIT_TASK = "lepton.submit"

SUBMISSION_STREAM = "lepton:submissions"
DEAD_LETTER_STREAM = "lepton:submissions:dead"
EVENT_STREAM = "lepton:events"

CONNECT_SECONDS = 5.0


def reply_stream(producer: str) -> str:
    """Where the producer reads what became of its messages."""
    return f"lepton:replies:{producer}"


def build_celery(broker_url: str) -> Celery:
    """An app that speaks JSON only, keeps no results, takes one message at a time and obeys no remote control.

    Tasks never fork: use the pool `threads` or `solo`, since gRPC channels do not survive a fork.
    """
    from celery import Celery

    app = Celery("lepton", broker=broker_url, set_as_current=False)
    app.conf.update(celery_settings())
    return app


def celery_settings() -> dict[str, Any]:
    return {
        "accept_content": ["json"],
        "task_serializer": "json",
        "event_serializer": "json",
        "result_backend": None,
        "task_ignore_result": True,
        "task_store_errors_even_if_ignored": False,
        "task_default_queue": WAKEUP_QUEUE,
        "worker_prefetch_multiplier": 1,
        "worker_pool": "threads",
        "worker_enable_remote_control": False,
        "worker_send_task_events": False,
        "worker_hijack_root_logger": False,
        # A queue server that does not answer must not block the sender for long.
        "task_publish_retry": False,
        "broker_connection_timeout": CONNECT_SECONDS,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        "broker_transport_options": {
            "socket_connect_timeout": CONNECT_SECONDS,
            "socket_keepalive": True,
            "health_check_interval": 10,
            # Of the workers alone: kombu lets every consumer put back what another one left unacknowledged, and a
            # worker has no access to the submissions.
            **{f"{name}_key": f"{WAKEUP_QUEUE}.{name}" for name in ("unacked", "unacked_index", "unacked_mutex")},
        },
    }
