"""The variables of the worker's environment that an attempt gets: an allowlist, since others may be secrets."""

import os
from collections.abc import Mapping
from pathlib import Path

# LEPTON_PLATFORM marks the processes of a local platform, so that its runner can find them; it is not a secret.
_NAMES = {"PATH", "LANG", "LANGUAGE", "TZ", "TERM", "USER", "LOGNAME", "VIRTUAL_ENV", "PYTHONPATH", "CC", "CXX"} | {
    "LEPTON_PLATFORM"
}
_PREFIXES = (
    *("LC_", "LD_LIBRARY_", "DYLD_LIBRARY_", "SSL_CERT_"),
    *("CUDA_", "NVIDIA_", "NCCL_", "GLOO_", "UCX_", "TORCH_", "PYTORCH_", "OMP_", "MKL_", "KMP_", "OPENBLAS_"),
)


def attempt_environment(environ: Mapping[str, str], workspace: Path) -> dict[str, str]:
    """The allowed variables; home and temporary folders are in the workspace."""
    allowed = {name: value for name, value in environ.items() if name in _NAMES or name.startswith(_PREFIXES)}
    return allowed | {
        "HOME": str(workspace / "home"),
        "LEPTON_HOME": str(workspace / "home" / ".lepton"),
        "TMPDIR": str(workspace / "tmp"),
        "PYTHONUNBUFFERED": "1",
    }


def thread_environment(ranks: int) -> dict[str, str]:
    """Divides the cores among the ranks, unless the worker's environment sets the variables.

    Idle threads spin, which is OpenMP's default. OMP_WAIT_POLICY=passive was measured: it frees cores for others, but a
    small network then makes only a quarter of the steps, since each step wakes the threads dozens of times.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return {"OMP_NUM_THREADS": str(max(1, cores // ranks))}
