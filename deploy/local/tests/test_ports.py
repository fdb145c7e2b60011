"""Ports: the default, a free one where it is taken, the same one next time."""

from __future__ import annotations

import json
import socket
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

from lepton_local.components import port_hosts
from lepton_local.ports import ALL_ADDRESSES, DEFAULT_PORTS, LOOPBACK, choose_ports, is_free
from lepton_local.settings import LocalSettings


def on_loopback(*names: str) -> dict[str, str]:
    return dict.fromkeys(names, LOOPBACK)


def test_a_port_is_remembered(tmp_path: Path) -> None:
    first = choose_ports(on_loopback("registry", "queue"), tmp_path / "ports.json", any_free=True)
    assert choose_ports(on_loopback("registry", "queue"), tmp_path / "ports.json") == first
    assert len(set(first.values())) == 2


def test_a_taken_port_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    first = choose_ports(on_loopback("registry", "queue"), tmp_path / "ports.json", any_free=True)
    with socket.create_server(("127.0.0.1", first["registry"])):
        second = choose_ports(on_loopback("registry", "queue"), tmp_path / "ports.json")
    assert second["registry"] != first["registry"]
    assert second["queue"] == first["queue"]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers on all of 127.0.0.0/8")
def test_a_port_for_all_addresses_is_free_on_each_of_them(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.2", 0)) as other:
        port = other.getsockname()[1]
        assert is_free(port)
        assert not is_free(port, ALL_ADDRESSES)
        (tmp_path / "ports.json").write_text(json.dumps({"gateway_http": port, "registry": port}))
        chosen = choose_ports({"gateway_http": ALL_ADDRESSES, "registry": LOOPBACK}, tmp_path / "ports.json")
    assert chosen["gateway_http"] != port
    assert chosen["registry"] == port


def test_the_ports_that_clients_reach_are_probed_where_they_are_bound() -> None:
    public = LocalSettings(public_host="lepton.example")
    hosts = port_hosts(public)
    assert {name for name, host in hosts.items() if host == LOOPBACK} == {"registry", "queue"}
    assert set(port_hosts(LocalSettings()).values()) == {LOOPBACK}
    assert set(hosts) == set(DEFAULT_PORTS)


def test_a_move_is_said_and_stays_near(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text("{}")
    said: list[str] = []
    with ExitStack() as taken:
        for name in ("gateway_http", "gateway_grpc"):
            if is_free(DEFAULT_PORTS[name]):
                taken.enter_context(socket.create_server(("127.0.0.1", DEFAULT_PORTS[name])))
        chosen = choose_ports(on_loopback("gateway_http", "gateway_grpc"), tmp_path / "ports.json", say=said.append)
    assert said == [
        f"gateway http: port {DEFAULT_PORTS['gateway_http']} is in use; using {chosen['gateway_http']}",
        f"gateway grpc: port {DEFAULT_PORTS['gateway_grpc']} is in use; using {chosen['gateway_grpc']}",
    ]
    # They stay there, which is no news.
    assert (
        choose_ports(on_loopback("gateway_http"), tmp_path / "ports.json", say=said.append)["gateway_http"]
        == chosen["gateway_http"]
    )
    assert len(said) == 2


@pytest.mark.parametrize("port", [0, -5, 65_536, 10**9, "8704", 8704.5, None, [8704]])
def test_what_is_no_port_is_not_remembered(port: object, tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text(json.dumps({"registry": port}))
    assert is_free(choose_ports(on_loopback("registry"), tmp_path / "ports.json")["registry"])


def test_any_free_ports_are_no_news(tmp_path: Path) -> None:
    said: list[str] = []
    choose_ports(on_loopback("registry"), tmp_path / "ports.json", any_free=True, say=said.append)
    assert said == []


def test_the_defaults_are_used_where_they_are_free(tmp_path: Path) -> None:
    if not is_free(DEFAULT_PORTS["registry"]):
        pytest.skip("the default port is in use on this machine")
    assert choose_ports(on_loopback("registry"), tmp_path / "ports.json") == {"registry": DEFAULT_PORTS["registry"]}


def test_connections_of_the_last_run_that_linger_do_not_move_us(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)) as client:
            accepted, _ = server.accept()
            accepted.close()  # the server's side closes first, so its port is the one in TIME_WAIT
            assert client.recv(1) == b""
    assert is_free(port)


def test_a_spoilt_file_of_ports_is_no_obstacle(tmp_path: Path) -> None:
    (tmp_path / "ports.json").write_text('{"registry": "x", "queue": 1')
    assert choose_ports(on_loopback("registry"), tmp_path / "ports.json", any_free=True)["registry"] > 0
