"""Shows the main steps: data → job → training with two processes → model with lineage → deployment → prediction.

It uses a new home and free ports, so it can run besides another platform.
"""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from lepton import Client, Prediction, Run
from lepton.cli.lineage import draw as lineage_tree
from lepton.transport.login import find_login
from lepton_core.errors import ErrorCode, LeptonError
from lepton_local.detached import start_detached
from lepton_local.example import Kind, write_example
from lepton_local.grpc_predict import predict_image
from lepton_local.home import Home
from lepton_local.image_preview import draw
from lepton_local.platform import down
from lepton_local.settings import SETTINGS_PREFIX
from lepton_local.state import PlatformStatus

WANTED_ACCURACY = 0.98
TRAINING_SECONDS = 300.0
# Interval of the progress lines that replace a bar outside of a terminal.
SECONDS_A_LINE = 2.0


def run_quickstart(console: Console, environ: Mapping[str, str], keep: Path | None = None) -> None:
    """Raises LeptonError if a step has a wrong result. `keep`: a folder for the home instead of a temporary one."""
    began = time.monotonic()
    with _fresh_home(keep) as folder, _platform(console, folder, environ) as status:
        sample = folder / "example"
        write_example(Kind.DIGITS, sample)
        login = find_login(environ={"LEPTON_HOME": str(folder)})
        with Client(login.url, login.api_key) as client:
            _push(console, client, sample)
            run = _train(console, client, sample)
            _promote(console, client, run)
            prediction = _serve(console, client, status, login.api_key, sample)
            _lineage(console, client, prediction)
    console.print(f"\n[bold green]All steps succeeded[/] in {time.monotonic() - began:.0f} s.")


@contextlib.contextmanager
def _fresh_home(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        keep.mkdir(parents=True)
        yield keep.resolve()
        return
    folder = Path(tempfile.mkdtemp(prefix="lepton-quickstart-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _platform(console: Console, folder: Path, environ: Mapping[str, str]) -> Iterator[PlatformStatus]:
    home = Home(folder)
    # The login and settings of the user's own platform must not be used here.
    own = {name: value for name, value in environ.items() if not name.startswith("LEPTON_")}
    began = time.monotonic()
    try:
        with console.status("starting the platform …"):
            status = start_detached(home, own | {"LEPTON_HOME": str(folder), f"{SETTINGS_PREFIX}_FREE_PORTS": "true"})
        _heading(console, "Platform", f"up in {time.monotonic() - began:.1f} s, in {folder}")
        table = Table("process", "pid", "ports", box=None, pad_edge=False, padding=(0, 3, 0, 0))
        for component in status.components:
            ports = ", ".join(f"{name} {port}" for name, port in component.ports.items())
            table.add_row(component.name, str(component.pid), ports or "–")
        console.print(table)
        yield status
    finally:
        with console.status("stopping the platform …"):
            down(home, _ignore)


def _push(console: Console, client: Client, sample: Path) -> None:
    version = client.datasets.push("digits", sample / "digits")
    _heading(console, "Dataset", f"digits@{version.version}: {version.files} images, {version.bytes:,} bytes")
    again = client.datasets.push("digits", sample / "digits", progress=False)
    _check(again.id == version.id, "the same files pushed again gave another version")
    console.print("  pushed again: no file was sent, the version is the same")


def _train(console: Console, client: Client, sample: Path) -> Run:
    run = client.jobs.submit(sample / "digits.yaml")
    _heading(console, "Job", f"accepted as {run.id}")
    columns = (TextColumn("  {task.description}"), BarColumn(), TextColumn("{task.fields[loss]}"), TimeElapsedColumn())
    said, said_at = "", 0.0
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("queued", total=1.0, loss="")

        def show(now: Run) -> None:
            nonlocal said, said_at
            losses = now.metric_points("loss") if now.state.value == "running" else []
            loss = f"loss {losses[-1].value:.3f} at step {losses[-1].step}" if losses else ""
            bar.update(task, description=now.state.value, completed=now.progress, loss=loss)
            line = f"  {now.state.value} {now.progress:.0%} {loss}".rstrip()
            due = now.ended or time.monotonic() - said_at > SECONDS_A_LINE
            if not console.is_terminal and due and line != said:
                console.print(line)
                said, said_at = line, time.monotonic()

        run.wait(TRAINING_SECONDS, progress=show)
    _metrics(console, run)
    return run


def _metrics(console: Console, run: Run) -> None:
    version = run.model_version
    assert version is not None
    found = run.metrics
    _heading(console, "Evaluation", "on 360 images that were not used for training")
    names = {"accuracy": "accuracy", "macro_recall": "macro recall", "macro_f1": "macro F1"}
    console.print("  " + "   ".join(f"{text} [bold]{found[name]:.2%}[/]" for name, text in names.items()))
    labels = [str(label) for label in version.evaluation["labels"]]
    table = Table(
        "true", *labels, box=None, pad_edge=False, padding=(0, 1, 0, 1), title="confusion matrix", title_justify="left"
    )
    for label, row in zip(labels, version.evaluation["confusion_matrix"], strict=True):
        table.add_row(label, *("[dim]·[/]" if count == 0 else str(count) for count in row))
    console.print(table)
    _check(found["accuracy"] >= WANTED_ACCURACY, f"accuracy {found['accuracy']:.2%} is below {WANTED_ACCURACY:.0%}")


def _promote(console: Console, client: Client, run: Run) -> None:
    alias = client.models.promote(run.model_version, alias="champion")
    _heading(console, "Model", f"digits version {alias.version}, alias champion")
    _check(alias.version == 1, "the first version of a new model is not 1")


def _serve(console: Console, client: Client, status: PlatformStatus, api_key: str, sample: Path) -> Prediction:
    began = time.monotonic()
    deployment = client.deployments.create("digits", model="digits@champion")
    _heading(console, "Deployment", f"{deployment.name} serves digits@champion after {time.monotonic() - began:.1f} s")
    image = sample / "seven.png"
    prediction = client.predict("digits", image=image)
    probabilities = prediction.probabilities or {}
    over_grpc = predict_image(status.urls["inference_grpc"], api_key, "digits", image, list(probabilities))
    console.print(draw(image))
    sure = probabilities.get(prediction.label or "", 0.0)
    console.print(f"  over HTTP: [bold]{prediction.label}[/] ({sure:.1%})\n    {prediction.prediction_id}")
    console.print(
        f"  over gRPC: [bold]{over_grpc.label}[/] ({over_grpc.probability:.1%})\n    {over_grpc.prediction_id}"
    )
    _check(prediction.label == over_grpc.label == "7", "the held-out image of a 7 was not recognised")
    _check(abs(sure - over_grpc.probability) < 1e-4, "HTTP and gRPC gave different probabilities")
    return prediction


def _lineage(console: Console, client: Client, prediction: Prediction) -> None:
    lineage = client.lineage(prediction.prediction_id)
    _heading(console, "Lineage", "of that prediction")
    console.print(lineage_tree(lineage))
    kinds = {node.kind for node in lineage.nodes}
    wanted = {"prediction", "revision", "model_version", "run", "dataset_version", "code", "environment"}
    _check(wanted <= kinds, f"the lineage has no {', '.join(sorted(wanted - kinds))}")


def _ignore(line: str) -> None:
    """Drops the messages about components that stop."""


def _heading(console: Console, title: str, text: str) -> None:
    console.print(f"\n[bold cyan]{title}[/]  {text}", highlight=False)


def _check(holds: bool, otherwise: str) -> None:
    if not holds:
        raise LeptonError(ErrorCode.FAILED_PRECONDITION, f"quickstart: {otherwise}")
