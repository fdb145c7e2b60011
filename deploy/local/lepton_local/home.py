"""The home of a platform: one folder with all its data, readable only by its owner."""

import os
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path

from lepton_core.errors import invalid
from lepton_core.ids import is_ulid, new_ulid

BUCKET = "lepton"
# Paths below the home must still fit into the limits of the operating system, for example of Unix sockets.
MAX_PATH_CHARS = 200


class Home:
    """The paths of a platform's data. `create()` makes the folder and its permanent id."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.keys = folder / "keys"
        self.logs = folder / "logs"
        self.lock = folder / "lock"
        self.state = folder / "platform.json"
        self.ports = folder / "ports.json"
        self.queue = folder / "queue"
        self.objects = folder / "objects"
        self.registry = folder / "registry"
        self.worker = folder / "worker"
        self.cache = folder / "inference"
        self._id = folder / "id"

    @property
    def id(self) -> str | None:
        """A ULID; None before the first start, or if the file is damaged."""
        try:
            text = self._id.read_text(errors="replace").strip()
        except FileNotFoundError:
            return None
        return text if is_ulid(text) else None

    @property
    def marker(self) -> str:
        """The value in the environment of every process of this platform, by which its processes are found.

        It contains the folder's inode: a copied home has the same id, but its platform must not stop the components of
        the original.
        """
        return f"{self.id}.{self.folder.stat().st_ino}"

    def create(self) -> None:
        """Makes the missing folders."""
        own = (self.keys, self.logs, self.queue, self.objects, self.registry, self.cache)
        for folder in (self.folder, *own, self.worker, self.objects / BUCKET):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        for folder in own:
            folder.chmod(0o700)
        # Access of other users is set by the running platform (`let_through`), not here.
        self.folder.chmod(stat.S_IMODE(self.folder.stat().st_mode) & 0o711)
        if self.id is None:
            write_private(self._id, new_ulid() + "\n")

    def let_through(self, *, others: bool) -> None:
        """Whether other users may pass through to the worker's folder, where their scripts run. They cannot list or
        read the folders on the way."""
        self.folder.chmod(0o711 if others else 0o700)


def find_home(environ: Mapping[str, str], chosen: Path | None = None) -> Home:
    """The home named on the command line, else by `LEPTON_HOME`, else `~/.lepton`."""
    named = str(chosen) if chosen else environ.get("LEPTON_HOME", "")
    folder = (Path(named) if named else Path("~/.lepton")).expanduser().absolute()
    if len(str(folder)) > MAX_PATH_CHARS:
        raise invalid("LEPTON_HOME", "too long a path", str(folder), f"at most {MAX_PATH_CHARS} characters")
    if folder.exists() and not folder.is_dir():
        raise invalid("LEPTON_HOME", "not a folder", str(folder), "a folder, or a path where a folder can be made")
    return Home(folder)


def write_private(path: Path, text: str) -> None:
    """Replaces a file atomically; only its owner can read it at any time."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
