"""Permissions in the workspace of a script that runs as another user: what it may write, and what it may only read.

The root belongs to the worker, with the sticky bit: the script's user can make and replace its own files there, as
`lepton.log_model` does, but cannot rename or remove files of the worker: attempt.json, the guards' socket and logs.
The user has no access to the root until these exist, so that a script cannot use their names first.
"""

import os
from pathlib import Path

from lepton_trainer.assignment import ScriptUser

# Mode of the worker's files in the workspace: the script must read its data, and other users cannot pass the root.
WORKER_UMASK = 0o022
# Mode of files that the script writes; the worker reads them as root.
PROGRAM_UMASK = 0o077
_FOLDERS = ("home", "tmp", "logs", "journal")
_OF_THE_USER = ("home", "tmp", "journal", "code")


def make_folders(workspace: Path) -> None:
    """Makes the folders that every attempt has before its programs start."""
    for name in _FOLDERS:
        (workspace / name).mkdir(exist_ok=True)


def hand_over(workspace: Path, user: ScriptUser) -> None:
    """The last step before the program starts: after this, only files that the worker owns can be trusted."""
    (workspace / "logs").chmod(0o700)
    for name in _OF_THE_USER:
        _give(workspace / name, user)
    os.chown(workspace, -1, user.gid)
    workspace.chmod(0o1770)


def user_environment(user: ScriptUser) -> dict[str, str]:
    return {"USER": user.name, "LOGNAME": user.name}


def _give(folder: Path, user: ScriptUser) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, user.uid, user.gid, follow_symlinks=False)
