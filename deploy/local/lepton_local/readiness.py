"""Probes that check whether a component serves. Each returns within a second and never raises."""

import http.client
from collections.abc import Callable
from pathlib import Path

import grpc
import redis
from grpc_health.v1 import health_pb2
from redis.backoff import NoBackoff
from redis.retry import Retry

Probe = Callable[[], bool]
PROBE_SECONDS = 1.0


def queue_answers(url: str) -> Probe:
    def probe() -> bool:
        once = Retry(NoBackoff(), 0)
        with redis.Redis.from_url(url, socket_timeout=PROBE_SECONDS, retry=once) as client:
            try:
                return bool(client.ping())
            except redis.RedisError:  # also while it still loads its log
                return False

    return probe


def http_answers(port: int, path: str, *, below_status: int = 300) -> Probe:
    def probe() -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PROBE_SECONDS)
        try:
            connection.request("GET", path)
            return connection.getresponse().status < below_status
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()

    return probe


def grpc_serves(port: int) -> Probe:
    def probe() -> bool:
        # Without the environment's proxy, which cannot reach this machine.
        with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.enable_http_proxy", 0)]) as channel:
            check = channel.unary_unary(
                "/grpc.health.v1.Health/Check",
                request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
                response_deserializer=health_pb2.HealthCheckResponse.FromString,
            )
            try:
                answer = check(health_pb2.HealthCheckRequest(), timeout=PROBE_SECONDS)
            except grpc.RpcError:
                return False
            return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    return probe


def file_appears(path: Path) -> Probe:
    """The component writes the file when it is ready; the runner removes it before each start."""
    return path.exists
