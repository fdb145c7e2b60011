"""Bytes to and from an object store, which is another server; and names that come from a server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from lepton.client import Client
from lepton.transport import transfer
from lepton.transport.http import Transport
from lepton.transport.login import Login
from lepton.transport.transfer import Wires, empty_folders, is_left_out, pull_files, push_folder
from lepton_core.api import FileEntry
from lepton_core.backoff import Backoff
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import digest_of

from .conftest import Store

DATA = bytes(range(256)) * 8


@pytest.fixture
def wires(monkeypatch: pytest.MonkeyPatch) -> Iterator[Wires]:
    """Nobody listens where the gateway should be: what is tested here needs none."""
    monkeypatch.setattr(transfer, "BACKOFF", Backoff(0.01, 0.01))
    transport = Transport(Login("http://127.0.0.1:9", "lpk_secret"), retry_seconds=1)
    with Wires(transport) as wires:
        yield wires
    transport.close()


def test_a_part_is_sent_again_until_it_is_taken_and_never_with_the_key(wires: Wires, store: Store) -> None:
    store.refusals = 2
    assert wires.put_part(store.url("/part?signature=s"), DATA) == '"e-1"'
    assert store.objects["/part?signature=s"] == DATA
    assert len(store.seen) == 3
    assert not any(name.lower() == "authorization" for headers in store.seen for name in headers)


def test_an_upload_that_the_store_has_forgotten_is_not_waited_for(wires: Wires, store: Store) -> None:
    with pytest.raises(LeptonError) as raised:
        wires.put_part(store.url("/forgotten"), DATA)
    assert raised.value.code is ErrorCode.NOT_FOUND
    assert len(store.seen) == 1


def test_a_range_that_breaks_off_is_taken_up_where_it_broke(wires: Wires, store: Store) -> None:
    store.objects["/pack"] = DATA
    store.cuts = 3
    assert b"".join(wires.read(store.url("/pack"), 100, 500)) == DATA[100:600]
    assert store.seen[1]["range"] == "bytes=110-599"


def test_another_range_than_asked_for_is_refused(wires: Wires, store: Store) -> None:
    store.objects["/pack"] = DATA
    store.shift = 5
    with pytest.raises(LeptonError, match="another range"):
        list(wires.read(store.url("/pack"), 0, 10))


def test_errors_do_not_show_the_signed_url(wires: Wires, store: Store) -> None:
    with pytest.raises(LeptonError) as raised:
        list(wires.read(store.url("/gone?signature=precious"), 0, 10))
    assert "404" in str(raised.value)
    assert "precious" not in str(raised.value)


def test_a_store_that_is_away_is_unavailable(wires: Wires) -> None:
    with pytest.raises(LeptonError) as raised:
        wires.put_part("http://127.0.0.1:9/part", b"x")
    assert raised.value.code is ErrorCode.UNAVAILABLE
    assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    ("path", "left_out"),
    [(".git", True), ("a/.DS_Store", True), ("a/__pycache__", True), ("a.b/c.py", False), ("train.py", False)],
)
def test_what_is_left_out(path: str, left_out: bool) -> None:
    assert is_left_out(path) is left_out


def test_a_folder_with_a_link_out_of_it_is_refused_before_anything_is_sent(wires: Wires, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("s")
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(LeptonError, match="leads out"):
        push_folder(wires._gateway, folder, title="t", progress=False)


@pytest.mark.parametrize("path", ["../x", "/etc/x", "a/../../x", "a\\b", "inside/x"])
def test_names_from_a_server_stay_in_the_folder(wires: Wires, tmp_path: Path, path: str) -> None:
    folder = tmp_path / "pulled"
    folder.mkdir()
    (folder / "inside").symlink_to(tmp_path)
    files = [FileEntry(path=path, digest=digest_of(b"x"), bytes=1)]
    with pytest.raises(LeptonError) as raised:
        pull_files(wires._gateway, files, folder, title="t", progress=False)
    assert raised.value.code is ErrorCode.INVALID
    assert sorted(each.name for each in tmp_path.iterdir()) == ["pulled"]


def test_a_check_ends_a_push_before_anything_is_sent(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("x,y\n1,a\n2\n")
    # Nothing listens there: an attempt to send would be UNAVAILABLE.
    with Client(url="http://127.0.0.1:9", api_key="lk_none", retry_seconds=0) as client:
        for check, message in (
            ("tabular", r"t\.csv, row 2 \(line 3\) has 1 value"),
            ("audio", "no check for this recipe"),
        ):
            with pytest.raises(LeptonError, match=message) as caught:
                client.datasets.push("numbers", tmp_path, check=check, progress=False)
            assert caught.value.code is ErrorCode.INVALID


def test_folders_that_a_push_leaves_out_are_found_at_their_top(tmp_path: Path) -> None:
    for name in ("a", "b/inner", "c/d", "c/e", ".hidden"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "a" / "1.png").touch()
    (tmp_path / "b" / ".DS_Store").touch()
    (tmp_path / "c" / "d" / "2.png").touch()
    assert empty_folders(tmp_path) == ["b", "c/e"]
    assert empty_folders(tmp_path / "a" / "1.png") == []
