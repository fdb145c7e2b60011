"""The user that scripts run as: who can be one, and what stops the trainer when something stands in the way."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from pwd import struct_passwd

import pytest

from lepton_core.errors import LeptonError
from lepton_fixtures.other_user import folder_for_others, python_for_others
from lepton_trainer.assignment import ScriptUser
from lepton_trainer.files.untrusted_files import open_file
from lepton_trainer.worker.script_user import LOCKS, find_script_user, first_closed, require_unused, reserve, try_out


@pytest.fixture
def user(other_user: struct_passwd) -> ScriptUser:
    return ScriptUser(other_user.pw_name, other_user.pw_uid, other_user.pw_gid)


def test_no_name_means_no_user() -> None:
    assert find_script_user("") is None


@pytest.mark.parametrize(("name", "why"), [("no-such-user", "no such user"), ("root", "not isolated")])
def test_users_that_cannot_run_scripts_are_refused_by_name(name: str, why: str) -> None:
    with pytest.raises(LeptonError, match=why) as refusal:
        find_script_user(name)
    assert refusal.value.fields[0].field == "LEPTON_TRAINER_RUN_AS"
    assert name in str(refusal.value)


def test_a_worker_that_is_not_root_cannot_have_one(user: ScriptUser, other_user: struct_passwd) -> None:
    program = (
        "from lepton_core.errors import LeptonError\n"
        "from lepton_trainer.worker.script_user import find_script_user\n"
        "try:\n    find_script_user('daemon')\nexcept LeptonError as error:\n    print(error)\n"
    )
    with folder_for_others(other_user) as folder:
        (folder / "python").mkdir()
        command = [str(python_for_others(other_user, folder / "python")), "-P", "-c", program]
        done = subprocess.run(
            command, cwd="/", user=user.uid, group=user.gid, extra_groups=[], capture_output=True, text=True, check=True
        )
    assert "only a worker that runs as root" in done.stdout


def test_the_first_folder_that_is_closed_is_named(user: ScriptUser, other_user: struct_passwd) -> None:
    with folder_for_others(other_user) as folder:
        inner = folder / "closed" / "inner"
        inner.mkdir(parents=True)
        (folder / "closed").chmod(0o700)
        assert first_closed(inner, user) == folder / "closed"
        with pytest.raises(LeptonError, match=f"{folder / 'closed'} is closed"):
            try_out(user, inner, [])
        (folder / "closed").chmod(0o711)
        assert first_closed(inner, user) is None


def test_a_secret_that_the_user_can_read_stops_the_worker(
    user: ScriptUser, other_user: struct_passwd, monkeypatch: pytest.MonkeyPatch
) -> None:
    with folder_for_others(other_user) as folder:
        (folder / "python").mkdir()
        (folder / "attempts").mkdir()
        monkeypatch.setattr(sys, "executable", str(python_for_others(other_user, folder / "python")))
        token = folder / "token"
        token.write_text("secret")
        with pytest.raises(LeptonError, match=r"can read .*token"):
            try_out(user, folder / "attempts", [token])
        token.chmod(0o600)
        try_out(user, folder / "attempts", [token])
        assert list((folder / "attempts").iterdir()) == []


def test_processes_of_the_user_that_are_not_ours_are_told_and_left_alone(user: ScriptUser) -> None:
    other = subprocess.Popen(["sleep", "600"], cwd="/", user=user.uid, group=user.gid, extra_groups=[])
    try:
        with pytest.raises(LeptonError, match=f"process .*{other.pid}"):
            require_unused(user, 0.1)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
    require_unused(user)


def test_two_workers_cannot_have_the_same_user(user: ScriptUser) -> None:
    with reserve(user):
        with pytest.raises(LeptonError, match="another worker"):
            reserve(user)
        reserve(ScriptUser("other", user.uid + 1, user.gid)).close()
    reserve(user).close()


def test_nothing_that_a_script_may_do_keeps_its_user_from_the_next_worker(
    user: ScriptUser, other_user: struct_passwd
) -> None:
    """A script that outlived a killed worker took the abstract socket that once reserved the user."""
    program = (
        "import socket, sys\n"
        f"held = socket.socket(socket.AF_UNIX); held.bind('\\0lepton-script-user-{user.uid}')\n"
        f"try:\n    open('{LOCKS}/lepton-script-user-{user.uid}.lock', 'ab')\n"
        "except OSError:\n    print('refused', flush=True)\n"
        "sys.stdin.read()\n"
    )
    with folder_for_others(other_user) as folder:
        (folder / "python").mkdir()
        command = [str(python_for_others(other_user, folder / "python")), "-P", "-c", program]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(command, cwd="/", user=user.uid, group=user.gid, extra_groups=[], **pipes) as script:
            assert script.stdout is not None
            assert script.stdout.readline() == b"refused\n"
            reserve(user).close()


def test_the_trainer_does_not_start_with_a_user_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("lps_trainer_x")
    environment = {
        "PATH": os.environ["PATH"],
        "LEPTON_TRAINER_HOME": str(tmp_path / "worker"),
        "LEPTON_TRAINER_REGISTRY_ADDRESS": "127.0.0.1:1",
        "LEPTON_TRAINER_POOL_TOKEN_FILE": str(tmp_path / "token"),
        "LEPTON_TRAINER_RUN_AS": "no-such-user",
    }
    command = [sys.executable, "-P", "-m", "lepton_trainer.main"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 2
    assert "no-such-user" in done.stdout + done.stderr


def test_a_file_of_another_user_is_not_taken(user: ScriptUser, tmp_path: Path) -> None:
    """A hard link to a secret whose first name has gone: one name, and still the secret."""
    (tmp_path / "secret").write_text("secret")
    (tmp_path / "link").hardlink_to(tmp_path / "secret")
    with pytest.raises(LeptonError, match="hard link"), open_file(tmp_path, "link", user.uid):
        pass
    (tmp_path / "secret").unlink()
    with pytest.raises(LeptonError, match="another user's file"), open_file(tmp_path, "link", user.uid):
        pass
    os.chown(tmp_path / "link", user.uid, user.gid)
    with open_file(tmp_path, "link", user.uid) as descriptor:
        assert os.read(descriptor, 10) == b"secret"
