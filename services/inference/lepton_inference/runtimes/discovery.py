"""Finds the installed runtimes, and the one for a package."""

from collections.abc import Collection
from functools import lru_cache
from importlib.metadata import entry_points

from lepton_core.errors import ErrorCode, LeptonError
from lepton_inference.runtimes.port import Runtime

GROUP = "lepton.runtimes"


@lru_cache(maxsize=1)
def installed_runtimes() -> tuple[Runtime, ...]:
    """The installed runtimes, in the order of their entry points' names."""
    found = sorted(entry_points(group=GROUP), key=lambda entry: entry.name)
    return tuple(entry.load() for entry in found)


def runtime_for(names: Collection[str]) -> Runtime:
    """The first runtime whose files are all in the package. Raises INVALID that names the supported files."""
    if not installed_runtimes():
        detail = f"no runtime is installed: no package has an entry point in {GROUP!r}; reinstall lepton-inference"
        raise LeptonError(ErrorCode.FAILED_PRECONDITION, detail)
    for runtime in installed_runtimes():
        if set(runtime.files) <= set(names):
            return runtime
    allowed = "; ".join(" and ".join(each.files) for each in installed_runtimes())
    raise LeptonError(
        ErrorCode.INVALID, f"no runtime supports the files {sorted(names)[:20]}; a package needs one of: {allowed}"
    )
