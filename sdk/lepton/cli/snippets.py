"""The command that gets a prediction from a new deployment, to be copied and run."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lepton_core.errors import LeptonError
from lepton_core.model_format.kinds import kinds_for
from lepton_core.model_format.signature import Signature
from lepton_core.validation import parse


def command_to_try(deployment: str, signature: Mapping[str, Any], card: Mapping[str, Any], folder: Path) -> str:
    """Uses a file of `folder` that fits the model, or example values of the model; empty if there are none."""
    try:
        known = parse(Signature, signature)
        kinds = kinds_for(known)
    except LeptonError:
        # A kind that a newer platform knows and this client does not.
        return ""
    for kind in kinds:
        if arguments := kind.arguments_to_try(known, card, folder):
            return shlex.join(["lepton", "predict", deployment, *arguments])
    return ""
