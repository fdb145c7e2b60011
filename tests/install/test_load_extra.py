"""`lepton.load` needs what the extra `lepton-sdk[load]` installs, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from services.inference.tests.packages import classifier
from tests.install.conftest import CleanEnvironment

# An install from a cold package index takes minutes.
pytestmark = pytest.mark.timeout(600)


def test_a_package_answers_without_torch(new_environment: Callable[[], CleanEnvironment], tmp_path: Path) -> None:
    for name, data in classifier().items():
        (tmp_path / name).write_bytes(data)
    environment = new_environment()
    environment.install("./core", "./sdk[load]")
    assert not {"torch", "grpcio", "fastapi", "onnx"} & environment.packages().keys()
    environment.python(
        "import lepton, numpy; "
        f"model = lepton.load({str(tmp_path)!r}); "
        "light = numpy.full((2, 2), 255, numpy.uint8); "
        "assert model.predict(image=light)['label'] == 'light'"
    )
