"""Each service installs by itself, starts, and brings nothing that its role forbids."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.install.conftest import CleanEnvironment

# An install from a cold package index takes minutes.
pytestmark = pytest.mark.timeout(600)

BASE = ("./proto", "./core")
# Service → what `pip install` is given, and what must not come with it.
SERVICES = {
    "gateway": ((*BASE, "./services/gateway"), {"torch", "sqlalchemy", "onnxruntime", "lepton-sdk"}),
    "registry": ((*BASE, "./services/registry"), {"torch", "fastapi", "onnxruntime", "lepton-sdk"}),
    "inference": ((*BASE, "./services/inference"), {"torch", "sqlalchemy", "celery", "lepton-sdk"}),
    "trainer": ((*BASE, "./sdk", "./services/trainer"), {"sqlalchemy", "fastapi", "lepton-gateway"}),
}


@pytest.fixture(scope="module", params=sorted(SERVICES))
def installed(
    request: pytest.FixtureRequest, new_environment: Callable[[], CleanEnvironment]
) -> tuple[str, CleanEnvironment]:
    environment = new_environment()
    environment.install(*SERVICES[request.param][0])
    return request.param, environment


def test_brings_nothing_that_its_role_forbids(installed: tuple[str, CleanEnvironment]) -> None:
    service, environment = installed
    assert not SERVICES[service][1] & environment.packages().keys()


def test_its_composition_root_loads(installed: tuple[str, CleanEnvironment]) -> None:
    service, environment = installed
    environment.python(f"import lepton_{service}.main")


def test_without_settings_it_names_the_first_one_missing(installed: tuple[str, CleanEnvironment]) -> None:
    service, environment = installed
    done = environment.run("python", "-m", f"lepton_{service}.main")
    assert done.returncode != 0
    assert f"LEPTON_{service.upper()}_" in done.stderr, done.stderr
    assert "Traceback" not in done.stderr
