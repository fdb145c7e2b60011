"""What `lepton doctor` finds on a machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from lepton_fixtures.processes import wait_until
from lepton_local.diagnosis import Finding, diagnose
from lepton_local.home import Home
from lepton_local.state import read_status


def found(home: Home) -> dict[str, Finding]:
    return {finding.subject: finding for finding in diagnose({"LEPTON_HOME": str(home.folder)})}


def test_without_a_platform_it_says_how_to_start_one(tmp_path: Path) -> None:
    (finding,) = found(Home(tmp_path / "none")).values()
    assert (finding.ok, finding.hint) == (False, "lepton up")


def test_keys_that_others_could_read_are_reported(home: Home) -> None:
    assert found(home)["keys"].ok
    home.keys.chmod(0o755)
    assert found(home)["keys"].hint == f"chmod 700 {home.keys}"


def test_what_runs_and_what_a_killed_runner_left(home: Home) -> None:
    command = [sys.executable, str(Path(__file__).parent / "servers_only.py"), str(home.folder)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as runner:
        wait_until(lambda: (status := read_status(home)) and status.ready, 20, "the runner to be up")
        running = found(home)
        assert all(running[name].ok for name in ("platform", "queue", "objects"))
        assert f"process {runner.pid}" in running["platform"].text
        runner.kill()
    left = found(home)["platform"]
    assert not left.ok
    assert "objects, queue" in left.text
    assert "lepton down" in left.hint
