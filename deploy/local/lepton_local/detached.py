"""Starts a platform that continues to run after the command has ended."""

import subprocess
import sys
from collections.abc import Mapping

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.settings import load_settings
from lepton_local.home import Home
from lepton_local.platform import wait_ready
from lepton_local.processes import tail
from lepton_local.settings import SETTINGS_PREFIX, LocalSettings
from lepton_local.state import PlatformStatus, runner_lock


def start_detached(home: Home, environ: Mapping[str, str]) -> PlatformStatus:
    """Starts a runner in its own session; its output is written to `logs/runner.log`.

    Raises FAILED_PRECONDITION with the end of that log if the runner ends before the platform is up, TIMEOUT if it
    takes too long.
    """
    settings = load_settings(LocalSettings, SETTINGS_PREFIX, environ)
    home.create()
    with runner_lock(home):  # raises ALREADY_EXISTS if a platform runs already
        pass
    log = home.logs / "runner.log"
    with log.open("wb") as output:
        runner = subprocess.Popen(
            [sys.executable, "-P", "-m", "lepton_local"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=dict(environ) | {"LEPTON_HOME": str(home.folder)},
            start_new_session=True,
        )
    try:
        status = wait_ready(home, runner.pid, lambda: runner.poll() is not None, settings.start_seconds + 10)
    except BaseException:  # Ctrl-C during the start
        runner.terminate()
        raise
    if status is None:
        code = ErrorCode.TIMEOUT if runner.poll() is None else ErrorCode.FAILED_PRECONDITION
        runner.terminate()
        raise LeptonError(code, f"the platform did not start. The end of {log}:\n{tail(log)}")
    runner.returncode = 0  # the runner outlives this process on purpose: prevents a ResourceWarning
    return status
