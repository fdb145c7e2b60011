"""Finds the placement that the worker's settings name. docs/adding-a-placement.md explains how to add one."""

import importlib
from collections.abc import Callable
from typing import cast

from lepton_core.errors import invalid
from lepton_trainer.assignment import AttemptConfig
from lepton_trainer.placement.port import Placement

GROUP = "lepton.placements"
# Called in the supervisor with the attempt, and with a function that any thread may call when a rank's state changed.
MakePlacement = Callable[[AttemptConfig, Callable[[], None]], Placement]
_BUILT_IN = {"local": "lepton_trainer.placement.local:make_placement"}


def find_placement(name: str) -> str:
    """The placement of this name as "package.module:function", for `load_placement`. Raises INVALID if it is not
    installed, or cannot be imported.

    The worker calls this once, at its start: the search through all installed packages would delay each supervisor.
    """
    from importlib.metadata import entry_points

    known = {point.name: point.value for point in entry_points(group=GROUP)} | _BUILT_IN
    if name not in known:
        raise invalid("placement", "no placement of this name is installed", name, " or ".join(sorted(known)))
    try:
        load_placement(known[name])
    except (ImportError, AttributeError) as error:
        raise invalid("placement", f"{known[name]} cannot be imported: {error}", name) from error
    return known[name]


def load_placement(entry: str) -> MakePlacement:
    module, _, function = entry.partition(":")
    return cast(MakePlacement, getattr(importlib.import_module(module), function))
