"""Manifests: canonical, and nothing in them can leave the folder that a reader makes."""

import pytest

from lepton_core.api.limits import MAX_MANIFEST_FILES
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.ids import digest_of
from lepton_registry.artifacts.manifest import File, build_manifest, canonical

DIGEST = digest_of(b"x")


def folder(*paths: str) -> list[File]:
    return [File(path, DIGEST, 1) for path in paths]


def test_the_digest_is_of_the_sorted_list_whatever_the_order():
    files = folder("b/ä.png", "a.png", "b/z.png")
    manifest = build_manifest(files)
    assert manifest.digest == build_manifest(reversed(files)).digest
    assert manifest.digest == digest_of(canonical(files))
    assert [file.path for file in manifest.files] == ["a.png", "b/z.png", "b/ä.png"]
    assert canonical(files[1:2]) == f'[["a.png","{DIGEST}",1]]'.encode()


@pytest.mark.parametrize(
    "path",
    ["", ".", "..", "../a", "a/../b", "/etc/passwd", "a//b", "a/", "a\\b", "a\nb", "a\0b", "\ud800", "x" * 1025, "./a"],
)
def test_an_unsafe_path_is_refused_by_name(path):
    with pytest.raises(LeptonError) as raised:
        build_manifest(folder("good.png", path))
    assert raised.value.code is ErrorCode.INVALID
    assert raised.value.fields[0].field == "files[1].path"


@pytest.mark.parametrize(
    "paths", [("a", "a"), ("a", "a/b"), ("a/b/c", "a/b"), ("A.png", "a.png"), ("A", "a/b"), ("\u00e9", "e\u0301"), ()]
)
def test_a_folder_that_cannot_be_is_refused(paths):
    with pytest.raises(LeptonError) as raised:
        build_manifest(folder(*paths))
    assert raised.value.code is ErrorCode.INVALID


def test_too_many_files_are_refused_before_their_names_are_looked_at():
    with pytest.raises(LeptonError) as raised:
        build_manifest(folder("..") * (MAX_MANIFEST_FILES + 1))
    assert raised.value.code is ErrorCode.TOO_LARGE


@pytest.mark.parametrize("entry", [File("a", "sha256:short", 1), File("a", DIGEST, -1), File("a", DIGEST, 1 << 60)])
def test_bad_digests_and_sizes_are_refused(entry):
    with pytest.raises(LeptonError) as raised:
        build_manifest([entry])
    assert raised.value.code is ErrorCode.INVALID
