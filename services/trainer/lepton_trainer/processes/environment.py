"""What of the worker's environment an attempt may see: an allowlist, since everything else may be a secret."""

import os
from collections.abc import Mapping
from pathlib import Path

# LEPTON_PLATFORM marks the processes of a local platform, so that its runner can find them; it is no secret.
_NAMES = {"PATH", "LANG", "LANGUAGE", "TZ", "TERM", "USER", "LOGNAME", "VIRTUAL_ENV", "PYTHONPATH", "CC", "CXX"} | {
    "LEPTON_PLATFORM"
}
_PREFIXES = (
    *("LC_", "LD_LIBRARY_", "DYLD_LIBRARY_", "SSL_CERT_"),
    *("CUDA_", "NVIDIA_", "NCCL_", "GLOO_", "UCX_", "TORCH_", "PYTORCH_", "OMP_", "MKL_", "KMP_", "OPENBLAS_"),
)


def attempt_environment(environ: Mapping[str, str], workspace: Path) -> dict[str, str]:
    """The allowed variables; home and temporary folders lie in the workspace."""
    allowed = {name: value for name, value in environ.items() if name in _NAMES or name.startswith(_PREFIXES)}
    return allowed | {
        "HOME": str(workspace / "home"),
        "LEPTON_HOME": str(workspace / "home" / ".lepton"),
        "TMPDIR": str(workspace / "tmp"),
        "PYTHONUNBUFFERED": "1",
    }


def thread_environment(ranks: int) -> dict[str, str]:
    """How the ranks share the cores; what the worker's own environment says comes before it.

    Idle threads spin, OpenMP's default. OMP_WAIT_POLICY=passive was measured: where it spares others' cores, it costs a
    small network three quarters of its steps, since each of them wakes the threads dozens of times.
    """
    affinity = getattr(os, "sched_getaffinity", None)
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return {"OMP_NUM_THREADS": str(max(1, cores // ranks))}
