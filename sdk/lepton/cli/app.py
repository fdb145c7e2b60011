"""Builds the `lepton` command from its subcommands; `main` is the entry point."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from lepton.cli import data, deploy, job, keys, model, plugins, recipe, run, worker
from lepton.cli.doctor import doctor
from lepton.cli.exit_codes import EXIT_HELP, Exit, report
from lepton.cli.lineage import lineage
from lepton.cli.login import login
from lepton.cli.predict import predict_command
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.validation import near_matches

TRAIN, SERVE, PLATFORM = "Data and training", "Models and predictions", "The platform"

# In the order of the help: the first steps come first.
OWN = ("data", "job", "run", "recipe", "model", "deploy", "predict", "lineage", "login", "doctor", "keys", "worker")


SHOWN_MATCHES = 4


class InOrder(TyperGroup):
    """Lists commands in the order of `OWN`: Typer would list single commands before all groups."""

    def list_commands(self, ctx: Any) -> list[str]:
        rank = {name: place for place, name in enumerate((*OWN, "up", "down"))}
        return sorted(super().list_commands(ctx), key=lambda name: rank.get(name, len(rank)))

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        _drop_types_of_flags(self, ctx)
        return super().parse_args(ctx, args)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """If no command on this level is similar to a mistyped one, the error suggests similar subcommands."""
        typed = args[0]
        if not (typed in self.commands or ctx.resilient_parsing or near_matches(typed, self.commands)):
            inner = [(name, child) for name, group in self.commands.items() for child in getattr(group, "commands", ())]
            near = near_matches(typed, {child for _, child in inner}, cutoff=0.7)
            if meant := [f"'lepton {name} {child}'" for name, child in inner if child in near]:
                ctx.fail(f"No such command {typed!r}. Did you mean {' or '.join(meant[:SHOWN_MATCHES])}?")
        return super().resolve_command(ctx, args)


def _drop_types_of_flags(command: Any, ctx: Any) -> None:
    """Removes `<bool>` after flags in the help: it looks as if the flag took a value."""
    for option in command.get_params(ctx):
        if getattr(option, "is_flag", False):
            option.metavar = ""
    for child in getattr(command, "commands", {}).values():
        _drop_types_of_flags(child, ctx)


app = typer.Typer(
    name="lepton",
    cls=InOrder,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    # A traceback with the values of variables could show a key.
    pretty_exceptions_enable=False,
    epilog=EXIT_HELP,
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version as installed

        typer.echo(f"lepton {installed('lepton-sdk')}")
        raise typer.Exit


@app.callback()
def lepton(
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", is_eager=True, callback=_print_version)
    ] = False,
) -> None:
    """Train models on your own machines, serve them, and trace every prediction to its data and code.

    First steps: `lepton up` · `lepton example digits` · `lepton job submit digits.yaml --watch`
    """


app.add_typer(data.app, name="data", help="Datasets: folders, in versions that never change.", rich_help_panel=TRAIN)
app.add_typer(job.app, name="job", help="Submit work.", rich_help_panel=TRAIN)
app.add_typer(run.app, name="run", help="Runs: states, logs and metrics of jobs.", rich_help_panel=TRAIN)
app.add_typer(recipe.app, name="recipe", help="The training recipes of the platform's workers.", rich_help_panel=TRAIN)
app.add_typer(model.app, name="model", help="Models, their versions and aliases.", rich_help_panel=SERVE)
app.add_typer(deploy.app, name="deploy", help="Serve models: lepton deploy NAME MODEL", rich_help_panel=SERVE)
app.command("predict", rich_help_panel=SERVE)(predict_command())
app.command(rich_help_panel=SERVE)(lineage)
app.command(rich_help_panel=PLATFORM)(login)
app.command(rich_help_panel=PLATFORM)(doctor)
app.add_typer(
    keys.app, name="keys", help="API keys, which identify the callers of the platform.", rich_help_panel=PLATFORM
)
app.add_typer(worker.app, name="worker", help="The machines that train.", rich_help_panel=PLATFORM)


def main() -> None:
    sys.exit(run_command(sys.argv[1:]))


def run_command(arguments: list[str]) -> int:
    """Runs one command line; returns its exit code (see `exit_codes`)."""
    as_json = "--json" in arguments
    if not arguments or arguments[0] not in OWN:
        plugins.add_to(app, OWN, panel=PLATFORM)
    try:
        left: object = app(arguments, prog_name="lepton", standalone_mode=False)
    except typer.Abort:
        return Exit.INTERRUPTED
    except LeptonError as error:
        return report(error, as_json=as_json)
    except OSError as error:
        return report(of_system(error), as_json=as_json)
    except Exception as error:  # noqa: BLE001 - last handler before the shell: any error needs an exit code
        return _unexpected(error, as_json=as_json)
    # Without standalone mode, `typer.Exit` is returned as its code.
    return left if isinstance(left, int) else Exit.OK


def of_system(error: OSError) -> LeptonError:
    """What is wrong with a path of the command line. Errors without a path, and a full disk, are internal."""
    path = f"{error.filename}: " if error.filename else ""
    if isinstance(error, FileExistsError):
        return LeptonError(ErrorCode.INVALID, f"{path}there is a file of this name, and a folder is needed")
    if isinstance(error, FileNotFoundError):
        return LeptonError(ErrorCode.NOT_FOUND, f"{path}no such file or folder")
    wrong_path = error.filename and isinstance(error, NotADirectoryError | IsADirectoryError | PermissionError)
    code = ErrorCode.INVALID if wrong_path else ErrorCode.INTERNAL
    return LeptonError(code, f"{path}{error.strerror or error}")


def _unexpected(error: Exception, *, as_json: bool) -> int:
    show = getattr(error, "show", None)
    if show is None:
        traceback.print_exception(error)
        return report(LeptonError(ErrorCode.INTERNAL, f"this is a bug of `lepton`: {error!r}"), as_json=as_json)
    # A wrong command line. The class of these errors is private to Typer, and some contain pydantic's prefix.
    if isinstance(message := getattr(error, "message", None), str):
        error.message = message.replace("Value error, ", "")  # type: ignore[attr-defined]  # private class
    if not as_json:
        show()
        return Exit.INVALID
    text = getattr(error, "format_message", error.__str__)()
    return report(LeptonError(ErrorCode.INVALID, text), as_json=True)


if __name__ == "__main__":
    main()
