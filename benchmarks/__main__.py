"""All benchmarks, one after the other: `python -m benchmarks [--quick] [--out FOLDER]`. Each writes JSON into it."""

import argparse
import subprocess
import sys
from pathlib import Path

ALL = ("serving", "training", "dispatch", "submission")
QUICK = {
    "serving": ["--seconds", "2", "--rounds", "3"],
    "training": ["--rounds", "2", "--images", "2048"],
    "dispatch": ["--rounds", "3"],
    "submission": ["--jobs", "2000", "--rounds", "4"],
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds: does it run, not how fast")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    chosen = parser.parse_args()
    chosen.out.mkdir(parents=True, exist_ok=True)
    missed = []
    for name in ALL:
        print(f"--- {name}", flush=True)
        extra = QUICK[name] if chosen.quick else []
        command = [sys.executable, "-m", f"benchmarks.{name}", *extra, "--json", str(chosen.out / f"{name}.json")]
        if subprocess.run(command, check=False).returncode:
            missed.append(name)
    if missed:
        print(f"below target, or not run to the end: {', '.join(missed)}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
