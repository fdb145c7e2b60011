"""The whole platform on one machine: start, crash, drain, and servers of the user's own."""

from __future__ import annotations

import signal
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until
from lepton_fixtures.servers import S3Bucket, ValkeyServer

SERVICES = ["registry", "gateway", "inference", "trainer"]


def secrets_of(home: Path) -> dict[str, bytes]:
    """The content of every file of secrets; the table of hashes is none."""
    files = [path for path in (home / "keys").iterdir() if path.suffix != ".json"]
    return {path.name: path.read_bytes().strip() for path in files}


@pytest.fixture
def own(start_platform: Callable[..., RunningPlatform]) -> Iterator[RunningPlatform]:
    return start_platform()


def test_every_part_serves(platform: RunningPlatform) -> None:
    assert [part["name"] for part in platform.status()["parts"]] == ["queue", "objects", *SERVICES]
    assert all(part["state"] == "ready" for part in platform.status()["parts"])
    for name in ("gateway", "inference"):
        with urllib.request.urlopen(f"{platform.url(name)}/healthz", timeout=5) as answer:
            assert answer.status == 200


def test_nothing_listens_beyond_loopback(platform: RunningPlatform) -> None:
    for part in platform.status()["parts"]:
        for process in (psutil.Process(part["pid"]), *psutil.Process(part["pid"]).children(recursive=True)):
            listening = [each for each in process.net_connections() if each.status == psutil.CONN_LISTEN]
            addresses = {each.laddr.ip.removeprefix("::ffff:") for each in listening}  # gRPC: IPv4 on an IPv6 socket
            assert addresses <= {"127.0.0.1"}, part["name"]


@pytest.mark.parametrize("name", ["queue", "objects", *SERVICES])
def test_a_killed_part_comes_back_alone(platform: RunningPlatform, name: str) -> None:
    others = {part["name"]: part["pid"] for part in platform.status()["parts"] if part["name"] != name}
    platform.wait_back(name, platform.kill(name))
    assert others == {part["name"]: part["pid"] for part in platform.status()["parts"] if part["name"] != name}
    assert platform.part(name)["last_exit"] == "was killed by SIGKILL"


def test_secrets_are_on_no_command_line_and_in_no_log(platform: RunningPlatform) -> None:
    logs = [*(platform.home / "logs").iterdir(), platform.home.with_name("home.log")]
    texts = {str(log): log.read_bytes() for log in logs}
    for part in platform.status()["parts"]:
        texts[part["name"]] = " ".join(psutil.Process(part["pid"]).cmdline()).encode()
    for name, secret in secrets_of(platform.home).items():
        assert [where for where, text in texts.items() if secret in text] == [], name


def test_a_second_up_says_where_the_first_one_is(platform: RunningPlatform) -> None:
    done = platform.cli("up", check=False)
    assert done.returncode != 0
    assert platform.url("gateway") in done.stdout + done.stderr


def test_down_drains_in_order_and_everything_restarts_on_its_old_data(own: RunningPlatform) -> None:
    key, urls = own.api_key, own.status()["urls"]
    project = own.client().whoami().project
    own.cli("down")
    assert own.runner is not None
    assert own.runner.wait(30) == 0
    said = own.home.with_name(f"{own.home.name}.log").read_text()
    order = ["trainer", "inference", "gateway", "registry", "objects", "queue"]
    assert [line.split()[1] for line in said.splitlines() if line.endswith(": stopped")] == [
        f"{part}:" for part in order
    ]

    own.runner = None
    own.start()
    assert (own.api_key, own.status()["urls"]) == (key, urls)
    assert own.client().whoami().project == project


def test_the_next_start_ends_what_a_killed_runner_left(own: RunningPlatform) -> None:
    left = [part["pid"] for part in own.status()["parts"]]
    own.kill_runner()
    assert all(psutil.pid_exists(pid) for pid in left)
    own.start()
    assert not any(is_running(pid) for pid in left)
    assert own.client().whoami().project


def is_running(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def test_a_stop_while_parts_start_leaves_nothing(start_platform: Callable[..., RunningPlatform]) -> None:
    own = start_platform()
    own.stop()
    with pytest.raises(AssertionError, match="did not start"):
        start_and_interrupt(own)
    assert own.status() == {}


def start_and_interrupt(own: RunningPlatform) -> None:
    import threading

    def interrupt() -> None:
        wait_until(lambda: any(part["name"] == "registry" for part in own.status().get("parts", [])), 30)
        assert own.runner is not None
        own.runner.send_signal(signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        own.start()
    finally:
        thread.join()


def test_servers_of_the_users_own_are_used_instead(
    start_platform: Callable[..., RunningPlatform], postgres_url: str, valkey: ValkeyServer, s3: S3Bucket
) -> None:
    own = start_platform(
        {
            "LEPTON_LOCAL_DATABASE_URL": postgres_url,
            "LEPTON_LOCAL_BROKER_URL": valkey.url,
            "LEPTON_LOCAL_OBJECT_STORE__ENDPOINT": s3.endpoint,
            "LEPTON_LOCAL_OBJECT_STORE__ACCESS_KEY": s3.access_key,
            "LEPTON_LOCAL_OBJECT_STORE__SECRET_KEY": s3.secret_key,
            "LEPTON_LOCAL_OBJECT_STORE__BUCKET": s3.bucket,
        }
    )
    assert [part["name"] for part in own.status()["parts"]] == SERVICES
    folder = own.home.parent / "data"
    folder.mkdir()
    (folder / "table.csv").write_text("a,b\n1,2\n")
    assert own.client().datasets.push("table", folder).version == 1
    assert list(s3.folder.rglob("*")), "the bytes are in the given bucket"
    assert not (own.home / "registry" / "registry.db").exists()
