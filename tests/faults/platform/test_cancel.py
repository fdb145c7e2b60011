"""A cancel reaches every process that a run has started, wherever it has gone and whatever it ignores."""

from __future__ import annotations

import time
from pathlib import Path

import psutil
import pytest

from lepton_core.api import AttemptState, RunState
from lepton_fixtures.attempt_trees import gone, tree_of
from lepton_fixtures.jobs import START_SECONDS, assert_succeeded, submit_script, wait_ended
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import wait_until

pytestmark = pytest.mark.timeout(240)
CANCEL_SECONDS = 10

# Each rank ignores what it can, and has a child in a session of its own, and a grandchild without parent, session or
# marker. Their ids stand in the folder of the first argument.
STUBBORN = """
import os, signal, subprocess, sys, time
from pathlib import Path
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
stays = '''
import os, signal, sys, time
for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
    signal.signal(number, signal.SIG_IGN)
open(os.path.join(sys.argv[1], str(os.getpid())), "w").close()
time.sleep(600)
'''
leaves_it = "import subprocess, sys; subprocess.Popen([sys.executable, '-c', *sys.argv[1:]], start_new_session=True)"
told = sys.argv[1]
subprocess.Popen([sys.executable, "-c", stays, told], start_new_session=True)
subprocess.run([sys.executable, "-c", leaves_it, stays, told], start_new_session=True, env={}, check=True)
Path(told, str(os.getpid())).touch()
time.sleep(600)
"""


def test_a_cancel_leaves_no_process_within_ten_seconds(rough_sqlite: RunningPlatform, tmp_path: Path) -> None:
    client = rough_sqlite.client()
    told = tmp_path / "told"
    told.mkdir()
    run = submit_script(client, tmp_path / "code", STUBBORN, told, resources={"ranks": 2})
    wait_until(lambda: len(list(told.iterdir())) == 6, START_SECONDS, "two ranks with two children each")
    attempt = run.refresh().resource.current_attempt_id
    programs = [psutil.Process(int(file.name)) for file in told.iterdir()]
    everybody = programs + tree_of(attempt)
    cancelled_at = time.monotonic()
    run.cancel()
    wait_until(lambda: gone(everybody), CANCEL_SECONDS, "all processes to be gone")
    wait_until(lambda: run.refresh().ended, 10, "the run to say so")
    assert run.state is RunState.CANCELLED, f"after {time.monotonic() - cancelled_at} s"
    assert [each.state for each in run.attempts()] == [AttemptState.CANCELLED]
    after = submit_script(client, tmp_path / "after", "print('ran')")
    assert_succeeded(rough_sqlite, after)


def test_a_run_that_waits_is_cancelled_at_once_and_never_begins(rough_sqlite: RunningPlatform, tmp_path: Path) -> None:
    client = rough_sqlite.client()
    gate = tmp_path / "gate"
    holds = f"import time, pathlib\nwhile not pathlib.Path({str(gate)!r}).exists(): time.sleep(0.02)"
    first = submit_script(client, tmp_path / "first", holds)
    wait_until(lambda: first.refresh().state is RunState.RUNNING, START_SECONDS, "the worker to be busy")
    second = submit_script(client, tmp_path / "second", "print('ran')")
    second.cancel()
    assert wait_ended(rough_sqlite, second, 10).state is RunState.CANCELLED
    gate.touch()
    assert_succeeded(rough_sqlite, first)
    assert second.attempts() == []
