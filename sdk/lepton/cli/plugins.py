"""Commands of other packages: functions found by the entry points `lepton.commands`, such as `up` of lepton-local."""

from __future__ import annotations

from collections.abc import Callable, Collection
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import typer

from lepton_core.errors import ErrorCode, LeptonError

GROUP = "lepton.commands"


def add_to(app: typer.Typer, taken: Collection[str], *, panel: str) -> None:
    """A command that cannot be loaded is listed, and reports the reason when it is called."""
    for point in sorted(entry_points(group=GROUP), key=lambda found: found.name):
        if point.name not in taken:
            app.command(point.name, rich_help_panel=panel)(_loaded(point))


def _loaded(point: EntryPoint) -> Callable[..., Any]:
    try:
        command = point.load()
    except Exception as error:  # noqa: BLE001 - code of another package; its fault must not break the other commands
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
