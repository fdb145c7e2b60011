"""The command that asks a fresh deployment something, ready to be pasted."""

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
    """With a file of `folder` that fits the model, or values of the model's own; empty where there are none."""
    try:
        known = parse(Signature, signature)
        kinds = kinds_for(known)
    except LeptonError:
        # Made by a platform that knows more than this client.
        return ""
    for kind in kinds:
        if arguments := kind.arguments_to_try(known, card, folder):
            return shlex.join(["lepton", "predict", deployment, *arguments])
    return ""
