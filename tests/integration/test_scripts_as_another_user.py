"""Scripts as another user, from the door to the end: an editor's key runs one (needs root); who cannot be is told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from pwd import struct_passwd

import httpx

from lepton import Client
from lepton_fixtures.other_user import folder_for_others, python_for_others
from lepton_fixtures.stack import Stack

PROGRAM = """
import json, os
from pathlib import Path
import lepton
lepton.log(loss=0.5)
home = Path(os.environ["LEPTON_ATTEMPT_FILE"]).parents[3]
found = [str(path) for path in (home / "keys/operator.key", home / "login.json", home / "platform.json")
         if os.access(path, os.R_OK)]
print(json.dumps({"uid": os.getuid(), "listed": os.access(home, os.R_OK), "found": found}))
"""


def test_an_editors_script_runs_as_that_user(tmp_path: Path, other_user: struct_passwd) -> None:
    (tmp_path / "job.yaml").write_text("name: mine\nscript: {folder: code, entry: train.py}\n")
    (tmp_path / "code").mkdir()
    (tmp_path / "code" / "train.py").write_text(PROGRAM)
    with folder_for_others(other_user) as folder:
        (folder / "python").mkdir()
        stack = Stack(
            folder, {"LEPTON_TRAINER_RUN_AS": other_user.pw_name}, python_for_others(other_user, folder / "python")
        )
        try:
            stack.start("queue", "objects", "registry", "gateway", "trainer")
            url = f"http://127.0.0.1:{stack.ports['gateway_http']}"
            headers = {"authorization": f"Bearer {(stack.home.keys / 'operator.key').read_text().strip()}"}
            made = httpx.post(f"{url}/v1/keys", json={"name": "e", "role": "editor"}, headers=headers)
            with Client(url, made.json()["secret"]) as editor:
                run = editor.jobs.submit(tmp_path / "job.yaml").wait()
                assert json.loads("".join(run.logs()).splitlines()[-1]) == {
                    "uid": other_user.pw_uid,
                    "listed": False,
                    "found": [],
                }
        finally:
            stack.stop()


def test_a_user_that_cannot_be_is_told_at_the_start(tmp_path: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("LEPTON_")}
    environment |= {"LEPTON_HOME": str(tmp_path / "home"), "LEPTON_LOCAL_FREE_PORTS": "true"}
    command = [sys.executable, "-m", "lepton_local"]
    done = subprocess.run(
        command,
        env=environment | {"LEPTON_TRAINER_RUN_AS": "no-such-user"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode != 0
    assert "LEPTON_TRAINER_RUN_AS" in done.stdout + done.stderr
    assert "no-such-user" in done.stdout + done.stderr
