"""The files that a script left in its workspace: which of them are kept with the run if its result cannot be used.

They are those below `code/` that are not in the code folder that was submitted or have other bytes, and the model
package. All of them are untrusted: only plain files of the script are listed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lepton_core.api import FileEntry
from lepton_core.api.limits import MAX_LEFT_FILES
from lepton_core.archives.names import Names, checked_parts
from lepton_core.errors import LeptonError
from lepton_core.objects.folder import hashed
from lepton_core.paths import check_path
from lepton_trainer.files.rank_files import FolderLimits, FoundFile, RankFiles, descriptor_path
from lepton_trainer.files.transfers import Transfers

CODE, PACKAGE = "code", "package"
SKIPPED_NAMES = frozenset({"__pycache__", ".git"})
# How many files are looked at, and how deep; those beyond are not seen.
MAX_SEEN_FILES = 100_000
MAX_DEPTH = 16
# How long an outage of the store or the registry may delay the report of the failure.
OUTAGE_SECONDS = 600.0


@dataclass(frozen=True)
class LeftFiles:
    """`paths` are relative to the workspace. `left_out`: number of files that cannot be kept or exceed the limits."""

    paths: Sequence[str]
    left_out: int


@dataclass(frozen=True)
class KeptFiles:
    """Entries of the files that the platform has now."""

    files: Sequence[FileEntry]
    left_out: int


def keep_left_files(written: RankFiles, transfers: Transfers, code_digest: str, max_bytes: int) -> KeptFiles:
    """Uploads what a script left. Raises LeptonError or OSError if that fails, AbandonedError if the attempt is
    lost."""
    code = {file.path: file for file in transfers.manifest(code_digest, seconds=OUTAGE_SECONDS)}
    left = find_left_files(written, code, max_bytes)
    kept: list[FileEntry] = []
    for folder in (CODE, PACKAGE):
        paths = [path.removeprefix(f"{folder}/") for path in left.paths if path.startswith(f"{folder}/")]
        if paths:
            sent = transfers.upload(written, folder, paths, seconds=OUTAGE_SECONDS)
            kept += [file.model_copy(update={"path": f"{folder}/{file.path}"}) for file in sent]
    return KeptFiles(kept, left.left_out)


def find_left_files(
    written: RankFiles, code: Mapping[str, FileEntry], max_bytes: int, max_files: int = MAX_LEFT_FILES
) -> LeftFiles:
    """The newest files first, as long as they fit: a script writes its result last. `code`: the submitted files by
    path. Those are compared by their digests, since a script may set any time of change."""
    limits = FolderLimits(files=MAX_SEEN_FILES, bytes=max_bytes, depth=MAX_DEPTH)
    found: list[FoundFile] = []
    left_out = 0
    for folder in (CODE, PACKAGE):
        seen = written.find(folder, limits, SKIPPED_NAMES)
        left_out += seen.others
        found += [replace(file, path=f"{folder}/{file.path}") for file in seen.files]
    names, room = Names(), max_bytes
    chosen: list[str] = []
    for file in sorted(found, key=lambda each: (-each.modified_ns, each.path)):
        try:
            if _is_submitted(written, file, code):
                continue
            fits = len(chosen) < max_files and file.bytes <= room
            if fits:
                _check_plain(written, file.path, names)
        except (LeptonError, OSError):
            fits = False
        if fits:
            chosen.append(file.path)
            room -= file.bytes
        else:
            left_out += 1
    return LeftFiles(sorted(chosen), left_out)


def _is_submitted(written: RankFiles, file: FoundFile, code: Mapping[str, FileEntry]) -> bool:
    submitted = code.get(file.path.removeprefix(f"{CODE}/")) if file.path.startswith(f"{CODE}/") else None
    if submitted is None or submitted.bytes != file.bytes:
        return False
    with written.open(file.path) as descriptor:
        return hashed(descriptor_path(descriptor), file.path).digest == submitted.digest


def _check_plain(written: RankFiles, path: str, names: Names) -> None:
    """Raises LeptonError for a file that is not the attempt's own, and for a name that a manifest cannot have, which
    would make the registry refuse all files."""
    check_path(path, "path")
    names.add_file(checked_parts(path, "path"))
    with written.open(path):
        pass
