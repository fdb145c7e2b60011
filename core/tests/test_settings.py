"""Settings from the environment and a file."""

from pathlib import Path

import pytest
from pydantic import Field, SecretStr

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.settings import Settings, load_settings


class Store(Settings):
    endpoint: str
    secret_key: SecretStr = SecretStr("")


class Service(Settings):
    listen: str = "127.0.0.1:0"
    lease_seconds: int = Field(30, ge=3, le=3600)
    token: str = ""
    producers: list[str] = Field(default_factory=list)
    labels: dict[str, int] = Field(default_factory=dict)
    home: Path = Path()
    store: Store = Store(endpoint="http://x")
    verbose: bool = False


def load(**environ: str) -> Service:
    return load_settings(Service, "LEPTON_TEST", {f"LEPTON_TEST_{name}": value for name, value in environ.items()})


def refusal(**environ: str) -> LeptonError:
    with pytest.raises(LeptonError) as caught:
        load(**environ)
    assert caught.value.code is ErrorCode.INVALID
    return caught.value


def test_every_kind_of_field_is_read() -> None:
    settings = load(
        LEASE_SECONDS="60",
        PRODUCERS="shop, lab",
        LABELS='{"a": 1}',
        HOME="/srv",
        STORE__ENDPOINT="http://s3",
        STORE__SECRET_KEY="k",
        VERBOSE="true",
    )
    assert (settings.lease_seconds, settings.producers, settings.labels) == (60, ["shop", "lab"], {"a": 1})
    assert (settings.home, settings.store.endpoint, settings.verbose) == (Path("/srv"), "http://s3", True)
    assert settings.store.secret_key.get_secret_value() == "k"
    assert load(PRODUCERS='["a,b"]').producers == ["a,b"]


def test_other_variables_are_none_of_ours() -> None:
    assert (
        load_settings(Service, "LEPTON_TEST", {"LEPTON_TESTING": "1", "PATH": "x", "LEPTON_OTHER_X": "1"}) == Service()
    )


def test_an_unknown_variable_is_an_error_that_names_near_ones() -> None:
    error = refusal(LEASE_SECOND="60", NONSENSE="1")
    assert [field.field for field in error.fields] == ["LEPTON_TEST_LEASE_SECOND", "LEPTON_TEST_NONSENSE"]
    assert "did you mean LEPTON_TEST_LEASE_SECONDS" in error.fields[0].message
    assert "LEPTON_TEST_STORE__ENDPOINT" in error.fields[1].allowed


def test_a_bad_value_names_the_variable_the_value_and_what_is_allowed() -> None:
    field = refusal(LEASE_SECONDS="2").fields[0]
    assert (field.field, field.value, field.allowed) == ("LEPTON_TEST_LEASE_SECONDS", '"2"', "at least 3")
    assert refusal(VERBOSE="perhaps").fields[0].field == "LEPTON_TEST_VERBOSE"
    assert refusal(LABELS="{").fields[0].field == "LEPTON_TEST_LABELS"


def test_secrets_are_never_shown() -> None:
    class Picky(Settings):
        token: SecretStr = Field(SecretStr(""), max_length=3)
        api_key: str = Field("", max_length=3)
        database_url: str = Field("", max_length=3)

    environ = {f"LEPTON_P_{name}": "hunter2-secret" for name in ("TOKEN", "API_KEY", "DATABASE_URL")}
    with pytest.raises(LeptonError) as caught:
        load_settings(Picky, "LEPTON_P", environ)
    assert len(caught.value.fields) == 3
    assert "hunter2" not in str(caught.value)


def test_a_file_gives_values_and_the_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / "service.toml"
    file.write_text('lease_seconds = 10\nlisten = "127.0.0.1:1"\n[store]\nendpoint = "http://file"\n')
    environ = {"LEPTON_TEST_LISTEN": "127.0.0.1:2", "LEPTON_TEST_STORE__SECRET_KEY": "k"}
    settings = load_settings(Service, "LEPTON_TEST", environ, file)
    assert (settings.lease_seconds, settings.listen) == (10, "127.0.0.1:2")
    assert (settings.store.endpoint, settings.store.secret_key.get_secret_value()) == ("http://file", "k")


@pytest.mark.parametrize("text", ["lease_secs = 10", "lease_seconds = ", "\x00", "[store]\nbukket = 1"])
def test_a_bad_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "service.toml"
    file.write_text(text)
    with pytest.raises(LeptonError):
        load_settings(Service, "LEPTON_TEST", {}, file)
    with pytest.raises(LeptonError, match="No such file"):
        load_settings(Service, "LEPTON_TEST", {}, tmp_path / "absent.toml")
