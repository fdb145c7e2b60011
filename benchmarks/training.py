"""Training throughput of the small CNN on two ranks, next to the same network in a bare torchrun script.

`python -m benchmarks.training [--rounds 5] [--images 4096] [--json FILE]`. Rounds alternate. Samples/s of each epoch
but the first; ours writes metrics, tells its progress and looks for a request to stop on the way.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from lepton_core.journal import read_records
from lepton_core.workspace_files import ATTEMPT_FILE_VARIABLE, Workspace, write_file
from lepton_trainer.recipes.catalogue import load_catalogue

TARGET = 0.97
RANKS = 2
SIDE, CLASSES = 32, 10
BATCH, EPOCHS = 64, 4
LONGEST_SECONDS = 600
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(RANKS)]


def write_images(folder: Path, count: int) -> Path:
    """Noise around one pattern a class: shapes and sizes matter here, not what is learnt."""
    random = np.random.default_rng(7)
    labels = np.arange(count) % CLASSES
    patterns = random.integers(0, 256, (CLASSES, SIDE, SIDE, 1))
    images = (patterns[labels] + random.integers(0, 64, (count, SIDE, SIDE, 1))).clip(0, 255).astype(np.uint8)
    folder.mkdir()
    file = folder / "images.npz"
    np.savez(file, images=images, labels=labels)
    return file


def ours(root: Path, data: Path) -> float:
    recipe = next(found for found in load_catalogue().values() if found.name == "vision.classifier")
    workspace = Workspace(root)
    attempt = {
        "run_id": "run_bench",
        "attempt_id": "att_bench",
        "recipe": {"name": recipe.name, "version": recipe.version, "entry": recipe.entry},
        "settings": {"epochs": EPOCHS, "batch_size": BATCH, "learning_rate": 2e-3, "seed": 7, "holdout_fraction": 0.05},
        "data_dir": str(data.parent),
        "model": "bench",
        "limits": {"threads_per_rank": 1},
    }
    write_file(workspace.attempt_file, json.dumps(attempt).encode())
    environment = os.environ | {ATTEMPT_FILE_VARIABLE: str(workspace.attempt_file), "OMP_NUM_THREADS": "1"}
    _run([*TORCHRUN, "-m", "lepton_trainer.rank"], environment)
    records, _ = read_records(workspace.metrics_journal(0))
    rates = [record["k"]["samples_per_second"] for record in records if "samples_per_second" in record["k"]]
    return statistics.median(rates[1:])


def bare(root: Path, data: Path) -> float:
    root.mkdir()
    result = root / "rates.json"
    program = ["-m", "benchmarks.references.bare_ddp", str(data), str(EPOCHS), str(BATCH), str(result)]
    _run([*TORCHRUN, *program], os.environ | {"OMP_NUM_THREADS": "1"})
    return statistics.median(json.loads(result.read_text())[1:])


def _run(command: list[str], environment: dict[str, str]) -> None:
    done = subprocess.run(
        command, env=environment, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False
    )
    if done.returncode:
        raise SystemExit(f"{command[-1]} ended with {done.returncode}:\n{done.stderr[-3000:]}")


def measure(rounds: int, images: int) -> dict[str, Any]:
    rates: dict[str, list[float]] = {"lepton": [], "bare torchrun": []}
    with tempfile.TemporaryDirectory() as folder:
        data = write_images(Path(folder) / "data", images)
        for number in range(rounds):
            rates["lepton"].append(ours(Path(folder) / f"ours-{number}", data))
            rates["bare torchrun"].append(bare(Path(folder) / f"bare-{number}", data))
    ratio = statistics.median(a / b for a, b in zip(rates["lepton"], rates["bare torchrun"], strict=True))
    return {"benchmark": "training", "ratio": round(ratio, 3), "target": TARGET, "samples_per_second": rates}


def show(result: dict[str, Any]) -> None:
    for name, rates in result["samples_per_second"].items():
        print(f"training {name:14} {statistics.median(rates):8.0f} samples/s")
    print(f"training: {result['ratio']} x the bare script (target {result['target']})")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=4096)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    result = measure(chosen.rounds, chosen.images)
    show(result)
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1))
    return 1 if result["ratio"] < TARGET else 0


if __name__ == "__main__":
    sys.exit(main())
