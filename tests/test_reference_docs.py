"""The generated pages of docs/reference say what the code says."""

import importlib.util
from pathlib import Path

ROOT = Path(__file__).parent.parent


def test_the_reference_is_fresh() -> None:
    spec = importlib.util.spec_from_file_location("generate_docs", ROOT / "docs" / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    generate = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(generate)
    for name, text in generate.pages().items():
        found = (ROOT / "docs" / "reference" / name).read_text(encoding="utf-8")
        assert found == text, f"docs/reference/{name} is stale: run `python docs/generate.py`"
