"""Writes docs/reference/*.md from the code: `python docs/generate.py`. A test fails when they are stale."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo
from sdk_reference import sdk_page

from lepton.cli.app import app
from lepton.cli.plugins import GROUP as COMMANDS
from lepton_core.causes import EndCause, WaitingCause
from lepton_core.errors import ERROR_TABLE
from lepton_gateway.settings import GatewaySettings
from lepton_inference.settings import InferenceSettings
from lepton_local import commands as local_commands
from lepton_local.settings import LocalSettings
from lepton_registry.settings import RegistrySettings
from lepton_trainer.settings import TrainerSettings

REFERENCE = Path(__file__).parent / "reference"
SERVICES: tuple[tuple[str, str, type[BaseModel]], ...] = (
    ("The local platform (`lepton up`)", "LEPTON_LOCAL", LocalSettings),
    ("Gateway", "LEPTON_GATEWAY", GatewaySettings),
    ("Registry", "LEPTON_REGISTRY", RegistrySettings),
    ("Trainer", "LEPTON_TRAINER", TrainerSettings),
    ("Inference", "LEPTON_INFERENCE", InferenceSettings),
)
SETTINGS_HEAD = """# Settings

Generated from the code by `python docs/generate.py`.

Every setting is an environment variable; lists are JSON or comma-separated. An unknown variable with one of these
prefixes stops the service with the names that are near. `lepton up` sets addresses, credentials and folders by itself;
whatever else you set in its environment reaches its parts.

The SDK and the CLI read three: `LEPTON_HOME` (default `~/.lepton`), and `LEPTON_URL` with `LEPTON_API_KEY` instead of a
login.
"""
ERRORS_HEAD = """# Errors

Generated from the code by `python docs/generate.py`.

Every error has one of these codes, over HTTP (RFC 9457 problem details, `code`), gRPC (trailing metadata
`lepton-error-bin`) and in the SDK (`LeptonError.code`). Act on the code, on `errors[].field_path` and, where there is
one, on `cause.code` with `cause.parameters`; sentences may change. *Retry* says whether the same request may succeed
later; `Retry-After` then says when, where it is known.

| code | gRPC | HTTP | meaning | retry |
|---|---|---|---|---|"""
WAITING_HEAD = """
## Why a run waits

Codes of `waiting_reason` of a queued run (`GET /v1/runs/{run_id}`). All but `queued` mean that no worker that is up
could take it: [troubleshooting](../troubleshooting.md) says what to do.

| code |
|---|"""
END_HEAD = """
## How an attempt ended

Codes of `cause` of an attempt, and of a run whose last attempt ended so (`GET /v1/runs/{run_id}`,
`GET /v1/runs/{run_id}/attempts`, `RunFailedError.cause`). New codes may come; older workers give none.
[Troubleshooting](../troubleshooting.md) says what they mean and what to do.

| code |
|---|"""
CLI_HEAD = """# The `lepton` command

Generated from the code by `python docs/generate.py`. `--json` prints one JSON document (or one a line, where a command
streams) on stdout and nothing else there; errors are JSON on stderr then. Completion: `lepton --install-completion`.

| exit code | means |
|---|---|
| 0 | done |
| 1 | the run failed, or a condition was not met |
| 2 | wrong command or input, such as a job file that refers to data which is not there |
| 3 | not found: something that the command line names |
| 4 | no valid key, or not permitted |
| 5 | not available now: try again |
| 6 | damaged or broken |
| 130 | interrupted |
"""


def main() -> int:
    """With `--check`, writes nothing and fails if a page is stale."""
    stale = [name for name, text in pages().items() if (REFERENCE / name).read_text(encoding="utf-8") != text]
    if "--check" in sys.argv:
        for name in stale:
            print(f"docs/reference/{name} is stale: run `python docs/generate.py`")
        return 1 if stale else 0
    for name, text in pages().items():
        (REFERENCE / name).write_text(text, encoding="utf-8")
    return 0


def pages() -> dict[str, str]:
    return {"settings.md": settings_page(), "cli.md": cli_page(), "errors.md": errors_page(), "sdk.md": sdk_page()}


def errors_page() -> str:
    rows = [
        f"| `{row.code}` | {row.grpc_status} | {row.http_status} | {row.title} | {'yes' if row.retryable else 'no'} |"
        for row in ERROR_TABLE.values()
    ]
    waiting = [f"| `{code}` |" for code in WaitingCause]
    ends = [f"| `{code}` |" for code in EndCause]
    return "\n".join([ERRORS_HEAD, *rows, WAITING_HEAD, *waiting, END_HEAD, *ends]) + "\n"


def settings_page() -> str:
    parts = [SETTINGS_HEAD]
    for title, prefix, model in SERVICES:
        rows = [f"| `{name}` | {default} | {text} |" for name, default, text in _settings(prefix, model)]
        parts.append("\n".join([f"## {title}\n", "| variable | default | what it is |", "|---|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def _settings(prefix: str, model: type[BaseModel], joint: str = "_") -> Iterator[tuple[str, str, str]]:
    for name, field in model.model_fields.items():
        variable = f"{prefix}{joint}{name.upper()}"
        inner = _inner(field)
        if inner is not None:
            yield from _settings(variable, inner, "__")
        else:
            yield variable, _default(field), (field.description or "").replace("|", "\\|")


def _inner(field: FieldInfo) -> type[BaseModel] | None:
    kinds = getattr(field.annotation, "__args__", (field.annotation,))
    found = [kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)]
    is_list = getattr(field.annotation, "__origin__", None) in (list, tuple)
    return found[0] if found and not is_list else None


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value: Any = field.get_default(call_default_factory=True, validated_data={})
    if isinstance(value, list) and value and isinstance(value[0], BaseModel):
        return "`" + "[" + ", ".join(each.model_dump_json() for each in value) + "]`"
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    text = str(getattr(value, "value", value))
    return "–" if text in ("", "None") else f"`{text}`"


def cli_page() -> str:
    commands = [typer.main.get_command(each) for each in (_platform_commands(), app)]
    return CLI_HEAD + "".join(part for command in commands for part in _command(command, "lepton"))


def _platform_commands() -> typer.Typer:
    """Those that lepton-local adds by entry point; whatever else is installed here is not ours to document."""
    found = typer.Typer()
    for point in sorted(entry_points(group=COMMANDS), key=lambda each: each.name):
        if point.module == local_commands.__name__:
            found.command(point.name)(point.load())
    return found


def _command(command: Any, name: str) -> Iterator[str]:
    # Typer brings a click of its own, so kinds are told by what they have.
    if hasattr(command, "commands"):
        for child in command.commands.values():
            if not child.hidden:
                yield from _command(child, f"{name} {child.name}")
        return
    usage = " ".join([name, *(part for parameter in command.params if (part := _usage(parameter)))])
    text = "\n".join(line.rstrip() for line in (command.help or "").replace("\b", "").strip().splitlines())
    yield f"\n## `{usage}`\n\n{text}\n"
    options = [each for each in command.params if each.param_type_name == "option" and not each.hidden]
    rows = [f"| `{', '.join(option.opts)}` | {(option.help or '').replace('|', chr(92) + '|')} |" for option in options]
    if rows:
        yield "\n| option | |\n|---|---|\n" + "\n".join(rows) + "\n"


def _usage(parameter: Any) -> str:
    if parameter.param_type_name != "argument":
        return ""
    name = (parameter.metavar or parameter.name or "").upper().strip("{}")
    name += "…" if parameter.nargs == -1 else ""
    return name if parameter.required else f"[{name}]"


if __name__ == "__main__":
    sys.exit(main())
