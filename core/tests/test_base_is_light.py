"""What the SDK imports lives in users' environments: pydantic and nothing else of ours."""

import subprocess
import sys

# fmt: off
BASE = [
    "data_layout.csv_records", "api", "binding", "errors", "http.problems", "identity", "ids", "jobs.spec",
    "journal", "model_format.kinds", "model_format.kinds.bodies", "model_format.signature", "objects.folder",
    "objects.inline_batch", "objects.ranges", "objects.transfer", "observability", "paths", "plain_text",
    "queue", "request_context", "settings", "validation", "workspace_files", "data_layout.checks",
]
HEAVY = [
    "grpc", "google", "fastapi", "starlette", "minio", "celery", "redis", "numpy", "PIL", "torch", "httpx",
    "prometheus_client",
]
# fmt: on


def test_causes_are_imported_without_pydantic() -> None:
    """Each attempt's supervisor imports them, and its start is time that the job waits."""
    program = "import sys; import lepton_core.causes; print('pydantic' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "False"


def test_the_base_of_core_needs_only_pydantic() -> None:
    imports = "; ".join(f"import lepton_core.{name}" for name in BASE)
    program = f"import sys; {imports}; print([name for name in {HEAVY} if name in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"
