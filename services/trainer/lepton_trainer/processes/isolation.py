"""The workspace of a script that runs as another user: what it may write, and what it can only read.

The root belongs to the worker, with the sticky bit: the script's user makes and replaces files of its own there, as
`lepton.log_model` does, but can neither rename nor remove what is the worker's: attempt.json, the guards' socket, logs.
Until all of that is in place the root is closed to the user, so no name can be taken before.
"""

import os
from pathlib import Path

from lepton_trainer.assignment import ScriptUser

# Of the worker's files in the workspace: the script has to read its data, and nobody else gets through the root.
WORKER_UMASK = 0o022
# Of what the script writes; the worker reads it as root.
PROGRAM_UMASK = 0o077
_FOLDERS = ("home", "tmp", "logs", "journal")
_OF_THE_USER = ("home", "tmp", "journal", "code")


def make_folders(workspace: Path) -> None:
    """What every attempt has before its programs start."""
    for name in _FOLDERS:
        (workspace / name).mkdir(exist_ok=True)


def hand_over(workspace: Path, user: ScriptUser) -> None:
    """The last act before the program starts: from here on everything below is hostile, but what the worker owns."""
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
