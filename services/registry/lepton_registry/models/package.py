"""Checks a model package before it becomes a version: each file must have the content that its name says."""

import asyncio
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from lepton_core.errors import ErrorCode, FieldError, LeptonError, invalid, shown
from lepton_core.model_format.formats import endings, format_of, model_files
from lepton_core.model_format.package_check import check_signature
from lepton_core.validation import read_document
from lepton_registry.artifacts.manifest import File, FileLike, build_manifest
from lepton_registry.artifacts.read_urls import ReadUrls

MAX_PACKAGE_BYTES = 16 << 30
MAX_JSON_BYTES = 8 << 20
MAX_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Package:
    """A checked package."""

    files: Sequence[FileLike]
    signature_json: str
    card_json: str


class PackageInspector:
    """Reads a package's files from the store and checks them; nothing is loaded or run."""

    def __init__(self, reading: ReadUrls, *, max_bytes: int = MAX_PACKAGE_BYTES) -> None:
        self._reading = reading
        self._max_bytes = max_bytes
        self._at_once = asyncio.Semaphore(MAX_AT_ONCE)

    async def inspect(self, project: str, entries: Sequence[FileLike]) -> Package:
        """Raises INVALID for a file whose content does not match its name, or that is not allowed in a package."""
        files = build_manifest(entries).files
        self._check_names(files)
        async with self._at_once:
            with tempfile.TemporaryDirectory(prefix="lepton-package-") as folder:
                for file in files:
                    target = Path(folder) / file.path
                    await self._reading.copy(project, file.digest, target)
                    await asyncio.to_thread(_check, file.path, target)
                texts = {name: _text(Path(folder) / name) for name in ("signature.json", "card.json")}
        return Package(files, texts["signature.json"], texts["card.json"] or "{}")

    def _check_names(self, files: Sequence[File]) -> None:
        unknown = [file.path for file in files if _check_for(file.path) is None]
        if unknown:
            allowed = ", ".join((*(f"*{ending}" for ending in endings()), "signature.json", "card.json"))
            others = f", nor are {len(unknown) - 1} others" if len(unknown) > 1 else ""
            raise LeptonError(
                ErrorCode.INVALID,
                f"{unknown[0]!r} is not allowed in a model package{others}; allowed: {allowed}",
                [FieldError("files", "not allowed in a model package", shown(path), allowed) for path in unknown[:20]],
            )
        names = {file.path for file in files}
        models = " or ".join(model_files())
        missing = [] if names.intersection(model_files()) else [models]
        if missing := missing + ["signature.json"] * ("signature.json" not in names):
            allowed = f"at least {models} and signature.json"
            raise invalid("files", f"the package has no {missing[0]}", missing[0], allowed)
        size = sum(file.bytes for file in files)
        big = [file.path for file in files if file.path.endswith(".json") and file.bytes > MAX_JSON_BYTES]
        if size > self._max_bytes or big:
            limit = f"{MAX_JSON_BYTES} bytes for {big[0]}" if big else f"{self._max_bytes} bytes in total"
            raise LeptonError(ErrorCode.TOO_LARGE, f"the package is too big; allowed: {limit}")


def _check_for(path: str) -> Callable[[Path], object] | None:
    """Files by name; packages have no folders."""
    if path == "signature.json":
        return _check_signature
    if path == "card.json":
        return lambda file: read_document(file.read_bytes(), path, max_bytes=MAX_JSON_BYTES)
    if "/" in path or path.startswith("."):
        return None
    known = format_of(path)
    return known.check if known else None


def _check_signature(file: Path) -> None:
    document = file.read_bytes()
    check_signature(document)
    read_document(document, file.name, max_bytes=MAX_JSON_BYTES)


def _check(path: str, file: Path) -> None:
    check = _check_for(path)
    assert check is not None
    check(file)


def _text(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""
