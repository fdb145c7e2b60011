"""Archives that lead outside, lie or explode: refused at every door that takes one, and nothing stays behind."""

from __future__ import annotations

import gzip
import tarfile
import tempfile
import uuid
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import httpx
import psutil
import pytest

from lepton_fixtures.archives import TAR_GZ, ZIP, Archive, tar_entry, tar_of, tarred, zip_link, zip_of, zipped
from lepton_fixtures.callers import Caller
from lepton_fixtures.packages import adder
from lepton_fixtures.platform import RunningPlatform
from lepton_fixtures.processes import most_memory

MIB = 1024 * 1024
CANARY = f"escaped-{uuid.uuid4().hex}"
OUTSIDE = Path(tempfile.gettempdir()) / CANARY
DOORS = ["/v1/datasets/{name}/versions", "/v1/models/{name}/versions", "/v1/code"]
# What each archive holds besides what is wrong with it, so that nothing else is.
GOOD = {**adder(1.0), "train.py": b"print('ran')\n"}


def link(kind: bytes, target: str) -> Archive:
    """A link, and then a file that would be written through it."""
    good = [(tarfile.TarInfo(name), data) for name, data in GOOD.items()]
    return tar_of([*good, tar_entry("link", kind, target), (tarfile.TarInfo(f"link/{CANARY}"), b"x")])


def renamed_by_pax(name: str) -> Archive:
    info = tarfile.TarInfo("harmless")
    info.pax_headers = {"path": name}
    return tar_of([(info, b"x")], style=tarfile.PAX_FORMAT)


def twice(*names: str) -> Archive:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a name that stands twice
        return zip_of((zipfile.ZipInfo(name), b"x") for name in names)


def encrypted() -> Archive:
    archive = bytearray(zipped(GOOD).content)
    archive[archive.index(b"PK\x01\x02") + 8] |= 1
    return Archive(bytes(archive), ZIP)


def lying_zip() -> Archive:
    """Its list of entries says that the one file is 1 byte long; it is a million."""
    archive = bytearray(zipped({"data.csv": bytes(MIB)}).content)
    entry = archive.index(b"PK\x01\x02")
    archive[entry + 24 : entry + 28] = (1).to_bytes(4, "little")
    return Archive(bytes(archive), ZIP)


def flipped(archive: Archive) -> Archive:
    content = bytearray(archive.content)
    content[-5] ^= 1  # in the checksum, so that only who compares it will know
    return Archive(bytes(content), archive.media_type)


def one_folder() -> bytes:
    """A tar entry."""
    info = tarfile.TarInfo("folder/")
    info.type = tarfile.DIRTYPE
    return info.tobuf()


OUTWARD: dict[str, Callable[[], Archive]] = {
    "zip: parent": lambda: zipped({**GOOD, f"../{CANARY}": b"x"}),
    "zip: parents": lambda: zipped({**GOOD, f"../../{CANARY}": b"x"}),
    "zip: parent behind a folder": lambda: zipped({**GOOD, f"a/../../../{CANARY}": b"x"}),
    "zip: absolute": lambda: zipped({**GOOD, str(OUTSIDE): b"x"}),
    "zip: drive": lambda: zipped({**GOOD, f"C:/{CANARY}": b"x"}),
    "zip: backslashes": lambda: zipped({**GOOD, f"..\\{CANARY}": b"x"}),
    "zip: symlink": lambda: zip_of([zip_link("link", "/tmp"), (zipfile.ZipInfo(f"link/{CANARY}"), b"x")]),
    "tar: parent": lambda: tarred({**GOOD, f"../{CANARY}": b"x"}),
    "tar: parents": lambda: tarred({**GOOD, f"../../{CANARY}": b"x"}),
    "tar: absolute": lambda: tarred({**GOOD, str(OUTSIDE): b"x"}),
    "tar: long name": lambda: tarred({**GOOD, "../" * 60 + CANARY: b"x"}),
    "tar: pax name": lambda: renamed_by_pax(f"../../{CANARY}"),
    "tar: symlink": lambda: link(tarfile.SYMTYPE, tempfile.gettempdir()),
    "tar: symlink inward": lambda: link(tarfile.SYMTYPE, "train.py"),
    "tar: hardlink": lambda: link(tarfile.LNKTYPE, "/etc/passwd"),
    "tar: hardlink inward": lambda: link(tarfile.LNKTYPE, "train.py"),
    "tar: device": lambda: tar_of([tar_entry("null", tarfile.CHRTYPE)]),
    "tar: block device": lambda: tar_of([tar_entry("disk", tarfile.BLKTYPE)]),
    "tar: pipe": lambda: tar_of([tar_entry("pipe", tarfile.FIFOTYPE)]),
    "tar: sparse": lambda: tar_of([tar_entry("sparse", tarfile.GNUTYPE_SPARSE)]),
}

DAMAGED: dict[str, Callable[[], Archive]] = {
    "zip: a name twice": lambda: twice("data.csv", "data.csv"),
    "zip: a name twice but for case": lambda: twice("data.csv", "Data.CSV"),
    "zip: file and folder": lambda: twice("data", "data/table.csv"),
    "tar: a name twice": lambda: tar_of((tarfile.TarInfo(name), b"x") for name in ("a", "./a")),
    "zip: control character": lambda: zipped({"a\nb": b"x"}),
    "zip: encrypted": encrypted,
    "zip: lying size": lying_zip,
    "zip: cut short": lambda: Archive(zipped(GOOD).content[:-20], ZIP),
    "tar: cut short": lambda: Archive(tarred(GOOD).content[:-20], TAR_GZ),
    "neither": lambda: Archive(b"MZ" + bytes(5000), ZIP),
    "tar: flipped byte": lambda: flipped(tarred(GOOD)),
    "zip: no file": lambda: zipped({}),
    "tar: no file": lambda: tarred({}),
    "empty": lambda: Archive(b"", ZIP),
}

BOMBS: dict[str, Callable[[], Archive]] = {
    "zip: bytes": lambda: zipped({"data.csv": bytes(256 * MIB)}),
    "zip: many files of bytes": lambda: zipped({f"{i}.csv": bytes(4 * MIB) for i in range(64)}),
    "tar: bytes": lambda: tarred({"data.csv": bytes(256 * MIB)}),
    "tar: bytes that belong to nothing": lambda: Archive(gzip.compress(bytes(256 * MIB), 1), TAR_GZ),
    "zip: entries": lambda: zipped(dict.fromkeys(map(str, range(100_001)), b"")),
    "tar: entries": lambda: Archive(gzip.compress(one_folder() * 100_001 + bytes(1024), 1), TAR_GZ),
}


def send(caller: Caller, door: str, archive: Archive) -> tuple[str, httpx.Response]:
    name = f"hostile-{uuid.uuid4().hex[:12]}"
    return name, caller.gateway.post(door.format(name=name), content=archive.content, headers=archive.headers)


def check_refused(operator: Caller, door: str, archive: Archive, scratch: Path) -> None:
    name, answer = send(operator, door, archive)
    assert answer.status_code == 422, answer.text
    problem = answer.json()
    assert (problem["code"], problem["errors"][0]["field"]) == ("invalid", "archive")
    assert len(problem["detail"]) < 2000
    if "{name}" in door:
        assert operator.gateway.get(door.format(name=name)).status_code == 404
    assert leftovers(scratch) == []
    assert not OUTSIDE.exists()
    assert not (scratch.parent / CANARY).exists()


def leftovers(scratch: Path) -> list[str]:
    """What lies there; libraries of others keep hidden files of theirs."""
    return [path.name for path in scratch.iterdir() if not path.name.startswith(".")]


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("pack", [zipped, tarred], ids=["zip", "tar"])
def test_a_sound_archive_is_taken(
    operator: Caller, door: str, pack: Callable[..., Archive], doors: RunningPlatform, scratch: Path
) -> None:
    files = {name: data for name, data in GOOD.items() if "models" not in door or name != "train.py"}
    _, answer = send(operator, door, pack(files))
    assert answer.status_code == 201, answer.text
    assert leftovers(scratch) == []


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("kind", [*OUTWARD, *DAMAGED])
def test_a_hostile_archive_is_refused_and_leaves_nothing(operator: Caller, door: str, kind: str, scratch: Path) -> None:
    check_refused(operator, door, (OUTWARD | DAMAGED)[kind](), scratch)


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_does_not_go_off(operator: Caller, doors: RunningPlatform, kind: str, scratch: Path) -> None:
    archive = BOMBS[kind]()
    gateway = psutil.Process(doors.part("gateway")["pid"])
    before = most_memory(gateway.pid)
    check_refused(operator, DOORS[0], archive, scratch)
    assert most_memory(gateway.pid) - before < 200 * MIB
    assert doors.part("gateway")["pid"] == gateway.pid
