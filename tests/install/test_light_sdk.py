"""The SDK lives in users' environments: it installs little and collides with nothing."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.install.conftest import CleanEnvironment

# An install from a cold package index takes minutes.
pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def environment(new_environment: Callable[[], CleanEnvironment]) -> CleanEnvironment:
    environment = new_environment()
    environment.install("./core", "./sdk")
    return environment


def test_it_brings_neither_protobuf_nor_torch(environment: CleanEnvironment) -> None:
    heavy = {"protobuf", "grpcio", "torch", "numpy", "pillow", "fastapi", "minio", "celery", "redis", "sqlalchemy"}
    assert not heavy & environment.packages().keys()


def test_it_imports_alone(environment: CleanEnvironment) -> None:
    environment.python("import lepton, lepton.runtime; lepton.Client")


def test_the_command_answers_without_a_platform(environment: CleanEnvironment) -> None:
    done = environment.run("lepton", "--help")
    assert done.returncode == 0, done.stderr
    assert "job" in done.stdout
