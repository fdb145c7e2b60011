"""Ports: the default, a free one where it is taken, the same one next time."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from lepton_local.ports import DEFAULT_PORTS, choose_ports, is_free


def test_a_port_is_remembered(tmp_path: Path) -> None:
    first = choose_ports(["registry", "queue"], tmp_path / "ports.json", any_free=True)
    assert choose_ports(["registry", "queue"], tmp_path / "ports.json") == first
    assert len(set(first.values())) == 2


def test_a_taken_port_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    first = choose_ports(["registry", "queue"], tmp_path / "ports.json", any_free=True)
    with socket.create_server(("127.0.0.1", first["registry"])):
        second = choose_ports(["registry", "queue"], tmp_path / "ports.json")
    assert second["registry"] != first["registry"]
    assert second["queue"] == first["queue"]


def test_the_defaults_are_used_where_they_are_free(tmp_path: Path) -> None:
    if not is_free(DEFAULT_PORTS["registry"]):
        pytest.skip("the default port is in use on this machine")
    assert choose_ports(["registry"], tmp_path / "ports.json") == {"registry": DEFAULT_PORTS["registry"]}


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
    assert choose_ports(["registry"], tmp_path / "ports.json", any_free=True)["registry"] > 0
