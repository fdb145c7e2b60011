"""Commands of other packages: entry points `lepton.commands`, a function each, as `lepton-local` brings `up`."""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer

from lepton_core.errors import ErrorCode, LeptonError

GROUP = "lepton.commands"


def add_to(app: typer.Typer, taken: Collection[str], *, panel: str) -> None:
    """One that cannot be loaded stays in the list and says why, when it is called; the others work."""
    for point in sorted(entry_points(group=GROUP), key=lambda found: found.name):
        if point.name not in taken:
            app.command(point.name, rich_help_panel=panel)(_loaded(point))


def _loaded(point: EntryPoint) -> Callable[..., Any]:
    try:
        command = point.load()
    except Exception as error:  # noqa: BLE001 - somebody else's package must not take ours down
        return _broken(point, error)
    return command if callable(command) else _broken(point, TypeError("not a function"))


def _broken(point: EntryPoint, error: Exception) -> Callable[..., Any]:
    package = point.dist.name if point.dist else point.value

    def command() -> None:
        raise LeptonError(
            ErrorCode.FAILED_PRECONDITION,
            f"`lepton {point.name}` of the package {package} cannot be loaded: {type(error).__name__}: {error}. "
            f"Reinstall it: pip install --force-reinstall {package}",
        )

    command.__doc__ = f"(cannot be loaded: {type(error).__name__})"
    return command
