"""Reads what the programs of an attempt left in its workspace."""

from __future__ import annotations

from lepton_core.workspace_files import Outcome, Workspace


def read_outcome(workspace: Workspace) -> Outcome | None:
    """The outcome that a program reported; None if there is none."""
    try:
        return Outcome.model_validate_json(workspace.outcome.read_bytes())
    except FileNotFoundError:
        return None
