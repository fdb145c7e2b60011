"""Where the key comes from, and where it never goes."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from lepton.transport.login import Login, checked, find_login, save_login
from lepton_core.errors import ErrorCode, LeptonError

URL = "http://127.0.0.1:8080"


@pytest.fixture
def saved(tmp_path: Path) -> dict[str, str]:
    """An environment whose home holds a login."""
    environ = {"LEPTON_HOME": str(tmp_path / "home")}
    save_login(Login(URL, "lpk_saved"), environ)
    return environ


def test_arguments_win_over_the_environment_over_the_file(saved: dict[str, str]) -> None:
    environ = saved | {"LEPTON_URL": "http://other:1", "LEPTON_API_KEY": "lpk_environment"}
    assert find_login("http://given:1/", "lpk_given", environ) == Login("http://given:1", "lpk_given")
    assert find_login(environ=environ) == Login("http://other:1", "lpk_environment")
    assert find_login(environ=saved) == Login(URL, "lpk_saved")


def test_the_saved_key_goes_to_the_saved_address_only(saved: dict[str, str]) -> None:
    with pytest.raises(LeptonError) as raised:
        find_login("http://evil.example", environ=saved)
    assert raised.value.code is ErrorCode.UNAUTHENTICATED
    # An empty variable is no key of its own.
    with pytest.raises(LeptonError):
        find_login(environ=saved | {"LEPTON_URL": "http://evil.example", "LEPTON_API_KEY": ""})
    assert find_login(f"{URL}/", environ=saved).api_key == "lpk_saved"


def test_without_a_login_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(LeptonError, match=r"lepton up.*lepton login") as raised:
        find_login(environ={"LEPTON_HOME": str(tmp_path)})
    assert raised.value.code is ErrorCode.UNAUTHENTICATED


def test_the_file_is_for_its_owner_only_even_if_it_was_not_before(saved: dict[str, str]) -> None:
    file = Path(saved["LEPTON_HOME"]) / "login.json"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    file.chmod(0o644)
    before = os.umask(0)
    try:
        save_login(Login(URL, "lpk_next"), saved)
    finally:
        os.umask(before)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == ["login.json"]


def test_a_link_in_its_place_is_replaced_not_followed(saved: dict[str, str], tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_text("precious")
    file = Path(saved["LEPTON_HOME"]) / "login.json"
    file.unlink()
    file.symlink_to(elsewhere)
    save_login(Login(URL, "lpk_next"), saved)
    assert elsewhere.read_text() == "precious"


def test_no_representation_shows_the_key() -> None:
    assert "secret" not in repr(Login(URL, "lpk_secret"))
    with pytest.raises(LeptonError) as raised:
        checked(URL, "lpk_secret\nx-evil: 1")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    "url", ["", "localhost:8080", "ftp://host", "http://", "http://host:99999", "http://user:pass@host", "http://h?q"]
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(LeptonError) as raised:
        checked(url, "lpk_x")
    assert raised.value.fields[0].field == "url"


def test_a_damaged_file_is_named(saved: dict[str, str]) -> None:
    (Path(saved["LEPTON_HOME"]) / "login.json").write_text("{")
    with pytest.raises(LeptonError, match="log in again"):
        find_login(environ=saved)
