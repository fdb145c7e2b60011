"""Archives, well-formed and hostile, made entry by entry."""

from __future__ import annotations

import io
import tarfile
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ZIP, TAR_GZ = "application/zip", "application/gzip"


@dataclass(frozen=True)
class Archive:
    """Bytes, and what to call them in `content-type`."""

    content: bytes
    media_type: str

    @property
    def headers(self) -> dict[str, str]:
        return {"content-type": self.media_type}


def zipped(files: Mapping[str, bytes]) -> Archive:
    return zip_of((zipfile.ZipInfo(name), data) for name, data in files.items())


def zip_of(entries: Iterable[tuple[zipfile.ZipInfo, bytes]]) -> Archive:
    """Of entries with attributes of their own; a name may stand there twice."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        for info, data in entries:
            info.compress_type = zipfile.ZIP_DEFLATED
            file.writestr(info, data)
    return Archive(archive.getvalue(), ZIP)


def tarred(files: Mapping[str, bytes]) -> Archive:
    return tar_of((tarfile.TarInfo(name), data) for name, data in files.items())


def tar_of(entries: Iterable[tuple[tarfile.TarInfo, bytes]], *, style: int = tarfile.GNU_FORMAT) -> Archive:
    """Packed by gzip; the kind of an entry and where a link leads are the caller's."""
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz", format=style, compresslevel=1) as file:
        for info, data in entries:
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))
    return Archive(archive.getvalue(), TAR_GZ)


def zip_link(name: str, target: str) -> tuple[zipfile.ZipInfo, bytes]:
    info = zipfile.ZipInfo(name)
    info.create_system = 3  # Unix: the upper half of the attributes is a mode
    info.external_attr = 0o120777 << 16
    return info, target.encode()


def tar_entry(name: str, kind: bytes, target: str = "") -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type = kind
    info.linkname = target
    return info, b""
