"""What users may import, and what that brings along."""

from __future__ import annotations

import subprocess
import sys

import lepton

# A name leaves or joins this list on purpose, with an entry in CHANGELOG.md.
PUBLIC = [
    "Alias",
    "ApiKey",
    "Attempt",
    "AttemptState",
    "Checkpoint",
    "Client",
    "Dataset",
    "DatasetVersion",
    "Deployment",
    "ErrorCode",
    "FieldError",
    "FileEntry",
    "JobSpec",
    "LeptonError",
    "Lineage",
    "LineageEdge",
    "LineageNode",
    "LoadedModel",
    "MetricPoint",
    "Model",
    "ModelVersion",
    "NewKey",
    "Prediction",
    "Recipe",
    "Revision",
    "RevisionState",
    "Role",
    "Run",
    "RunFailedError",
    "RunState",
    "Worker",
    "checkpoint",
    "data_dir",
    "load",
    "log",
    "log_model",
    "progress",
    "resume_dir",
    "resume_step",
]
HEAVY = ("numpy", "torch", "google.protobuf", "grpc", "PIL", "minio", "fastapi", "sqlalchemy")


def test_the_public_names_are_these() -> None:
    assert sorted(lepton.__all__) == PUBLIC
    assert all(getattr(lepton, name) is not None for name in lepton.__all__)
    assert set(PUBLIC) <= set(dir(lepton))


def test_the_import_is_light() -> None:
    told = f"import sys, lepton, lepton.cli.app; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_public_verb_is_documented() -> None:
    """The reference of the client is made from these."""
    client = lepton.Client("http://127.0.0.1:1", "lpk_documentation")
    groups = [type(group) for name, group in vars(client).items() if not name.startswith("_") and name != "url"]
    bare = [
        f"{owner.__name__}.{name}"
        for owner in (lepton.Client, lepton.Run, lepton.LoadedModel, *groups)
        for name, member in vars(owner).items()
        if not name.startswith("_") and (callable(member) or isinstance(member, property)) and not member.__doc__
    ]
    assert not bare
