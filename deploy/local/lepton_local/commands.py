"""The commands that lepton-local adds to `lepton`: `up`, `down`, `example`, `quickstart`."""

import contextlib
import os
import time
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from lepton.cli.render import print_json_line, show
from lepton.cli.session import Json
from lepton_core.binding import is_loopback
from lepton_core.plain_text import plain
from lepton_core.settings import load_settings
from lepton_local.detached import start_detached
from lepton_local.example import Kind, write_example
from lepton_local.home import Home, find_home
from lepton_local.platform import Platform
from lepton_local.platform import down as stop_platform
from lepton_local.settings import SETTINGS_PREFIX, LocalSettings
from lepton_local.state import PlatformStatus

HomeOption = Annotated[
    Path | None, typer.Option("--home", help="The platform's folder. [default: LEPTON_HOME, else ~/.lepton]")
]


def up(
    home: HomeOption = None,
    detach: Annotated[
        bool, typer.Option("--detach", "-d", help="Return when the platform is up; `lepton down` stops it.")
    ] = False,
    free_ports: Annotated[
        bool, typer.Option("--free-ports", help="Use any free ports instead of the default ones.")
    ] = False,
    public_host: Annotated[
        str, typer.Option(help="Host name or IP address by which other machines reach this platform.")
    ] = "",
    database_url: Annotated[str, typer.Option(help="URL of your own PostgreSQL: postgresql+psycopg://…")] = "",
    broker_url: Annotated[str, typer.Option(help="URL of your own Redis or Valkey: redis://…")] = "",
    as_json: Json = False,
) -> None:
    """Start the whole platform on this machine, and stop it with Ctrl-C.

    To use your own S3 server, set LEPTON_LOCAL_OBJECT_STORE__ENDPOINT, …__ACCESS_KEY, …__SECRET_KEY and …__BUCKET.
    """
    console = Console(highlight=False, stderr=as_json)
    environ = dict(os.environ)
    if free_ports:
        environ[f"{SETTINGS_PREFIX}_FREE_PORTS"] = "true"
    if public_host:
        environ[f"{SETTINGS_PREFIX}_PUBLIC_HOST"] = public_host
    if database_url:
        environ[f"{SETTINGS_PREFIX}_DATABASE_URL"] = database_url
    if broker_url:
        environ[f"{SETTINGS_PREFIX}_BROKER_URL"] = broker_url
    chosen = find_home(environ, home)
    if detach:
        status = start_detached(chosen, environ)
        for line in status.moved:
            console.print(line, markup=False)
        show_ready(console, chosen, status, None)
        console.print("`lepton down` stops it.")
        if as_json:
            print_json_line(status)
    else:
        run_here(chosen, environ, console, as_json=as_json)


def down(home: HomeOption = None, as_json: Json = False) -> None:
    """Drain the platform and stop it."""
    console = Console(highlight=False, stderr=as_json)
    chosen = find_home(os.environ, home)
    stopped = stop_platform(chosen, lambda line: console.print(line, markup=False))
    text = f"Stopped the platform of {chosen.folder}." if stopped else f"No platform runs from {chosen.folder}."
    show({"home": str(chosen.folder), "stopped": stopped}, as_json, lambda: Text(text))


def example(
    kind: Annotated[Kind, typer.Argument(help="digits: images; tabular: a table; script: your own PyTorch program.")],
    folder: Annotated[Path | None, typer.Argument(help="The folder to write to. [default: the current folder]")] = None,
    as_json: Json = False,
) -> None:
    """Write the sample data and job file of an example of the documentation."""
    written = write_example(kind, folder or Path())
    lines = [f"{path}: {what}" for path, what in written.files.items()]
    lines += ["next:", *(f"  {command}" for command in written.next)]
    show(asdict(written), as_json, lambda: Text("\n".join(lines)))


def quickstart(
    keep: Annotated[Path | None, typer.Option("--keep", help="Keep all files in this new folder.")] = None,
) -> None:
    """Run the main steps, from data to a traced prediction, on a temporary platform that is stopped afterwards."""
    from lepton_local.quickstart import run_quickstart

    run_quickstart(Console(highlight=False), os.environ, keep)


def run_here(home: Home, environ: Mapping[str, str], console: Console, *, as_json: bool = False) -> None:
    """The runner; returns when the platform has stopped."""
    settings = load_settings(LocalSettings, SETTINGS_PREFIX, environ)
    began = time.monotonic()

    # Rich ends the process when the reader of its output has gone, and then components would stay behind.
    def say(line: str) -> None:
        with contextlib.suppress(SystemExit):
            console.print(f"{time.strftime('%H:%M:%S')} {plain(line)}", markup=False)

    def ready(status: PlatformStatus) -> None:
        with contextlib.suppress(SystemExit):
            show_ready(console, home, status, time.monotonic() - began)
            console.print("Ctrl-C drains and stops it.")
            if as_json:
                print_json_line(status)

    Platform(home, settings, environ, say, ready).up()


def show_ready(console: Console, home: Home, status: PlatformStatus, seconds: float | None) -> None:
    took = f" after {seconds:.1f} s" if seconds is not None else ""
    key = home.keys / "operator.key"
    lines = [f"[bold green]Lepton is up[/]{took}"]
    for name, rpc in (("gateway", "gateway_grpc"), ("inference", "inference_grpc")):
        lines.append(f"  {name:<10} {status.urls[name]}   gRPC {status.urls[rpc]}")
    if not is_loopback(status.urls["gateway_grpc"]):
        lines.append("  [yellow]Other machines reach it without encryption: use a trusted network, or a TLS proxy.[/]")
    lines += [f"  {'API key':<10} {key}   (used by SDK and CLI)", f"  {'logs':<10} {home.logs}"]
    console.print("\n".join(lines), soft_wrap=True)
