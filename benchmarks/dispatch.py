"""From submit to the first line of the user's code, next to starting the same code by bare torchrun.

`python -m benchmarks.dispatch [--rounds 7] [--json FILE]`. Rounds alternate. Ours is accepted, written to the database,
claimed, given its workspace and its guard on the way.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.platform import running_platform
from lepton import Client

PROGRAM = "import sys, time\nopen(sys.argv[1], 'w').write(repr(time.time()))\n"
LONGEST_SECONDS = 120.0


def ours(client: Client, folder: Path, stamp: Path) -> float:
    script = {"folder": str(folder), "entry": "stamp.py", "args": [str(stamp)]}
    began = time.time()
    run = client.jobs.submit({"name": "dispatch", "script": script, "retries": 0}, progress=False)
    seconds = _stamped(stamp) - began
    run.wait(LONGEST_SECONDS, progress=False)
    return seconds


def bare(folder: Path, stamp: Path) -> float:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "1"]
    began = time.time()
    subprocess.run(
        [*command, str(folder / "stamp.py"), str(stamp)], capture_output=True, check=True, timeout=LONGEST_SECONDS
    )
    return _stamped(stamp) - began


def _stamped(file: Path) -> float:
    deadline = time.monotonic() + LONGEST_SECONDS
    while time.monotonic() < deadline:
        if file.exists() and (text := file.read_text()):
            return float(text)
        time.sleep(0.01)
    raise SystemExit("the program was not started in time")


def measure(rounds: int) -> dict[str, Any]:
    seconds: dict[str, list[float]] = {"lepton": [], "bare torchrun": []}
    with tempfile.TemporaryDirectory() as name, running_platform() as platform, platform.client() as client:
        folder = Path(name) / "code"
        folder.mkdir()
        (folder / "stamp.py").write_text(PROGRAM)
        for number in range(rounds + 1):
            seconds["lepton"].append(ours(client, folder, Path(name) / f"ours-{number}"))
            seconds["bare torchrun"].append(bare(folder, Path(name) / f"bare-{number}"))
    # The first round fills caches on both sides.
    kept = {name: found[1:] for name, found in seconds.items()}
    ratio = statistics.median(a / b for a, b in zip(kept["lepton"], kept["bare torchrun"], strict=True))
    return {"benchmark": "dispatch", "ratio": round(ratio, 3), "seconds": kept}


def show(result: dict[str, Any]) -> None:
    for name, found in result["seconds"].items():
        print(f"dispatch {name:14} {statistics.median(found):6.2f} s from submit to the first line of code")
    print(f"dispatch: {result['ratio']} x the time of bare torchrun")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", type=Path)
    chosen = parser.parse_args()
    result = measure(chosen.rounds)
    show(result)
    if chosen.json:
        chosen.json.write_text(json.dumps(result, indent=1))
    return 0


if __name__ == "__main__":
    sys.exit(main())
