"""Programs of script jobs that the tests submit. They write the workspace's files as `lepton.runtime` does."""

# Counts steps to the number in its first argument, pausing the second argument's seconds each; checkpoints every
# fifth step and goes on from the one it is given. Rank 0 reports for all.
COUNTING_RANKS = """
import json, os, sys, time
from pathlib import Path
from lepton_core.journal import JournalWriter
from lepton_core.workspace_files import CheckpointRecord, ProgressRecord, Workspace

workspace = Workspace(Path(os.environ["LEPTON_ATTEMPT_FILE"]).parent)
attempt = workspace.read_attempt()
rank = int(os.environ["RANK"])
steps, pause = int(sys.argv[1]), float(sys.argv[2])
step = 0
if attempt.resume:
    step = json.loads((workspace.folder(attempt.resume.dir) / "state.json").read_text())["step"]
    assert step == attempt.resume.step
print("rank", rank, "begins at", step, flush=True)
metrics = JournalWriter(workspace.metrics_journal(rank))
control = JournalWriter(workspace.control_journal(rank))
while step < steps:
    time.sleep(pause)
    step += 1
    if rank == 0:
        metrics.append({"s": step, "t": time.time_ns() // 1000, "k": {"loss": 1.0 / step}})
        metrics.flush()
        control.append(ProgressRecord(epoch=0, epochs=1, step=step, steps=steps).model_dump())
        if step % 5 == 0:
            folder = workspace.checkpoint(step)
            part = folder.with_name("part")
            part.mkdir(parents=True)
            (part / "state.json").write_text(json.dumps({"step": step}))
            part.rename(folder)
            offsets = {metrics.path.name: metrics.offset}
            record = CheckpointRecord(step=step, epoch=0, dir=f"checkpoints/{folder.name}", offsets=offsets)
            control.append(record.model_dump())
        control.flush()
print("rank", rank, "is done", flush=True)
"""

# As COUNTING_RANKS's checkpoints, but on SIGTERM, once.
SAVES_WHEN_ASKED = """
import json, os, signal, sys, time
from pathlib import Path
from lepton_core.journal import JournalWriter
from lepton_core.workspace_files import CheckpointRecord, Workspace

workspace = Workspace(Path(os.environ["LEPTON_ATTEMPT_FILE"]).parent)
attempt = workspace.read_attempt()
if attempt.resume:
    print("resumed", (workspace.folder(attempt.resume.dir) / "state").read_text(), flush=True)
    sys.exit(0)

def save(*_):
    folder = workspace.checkpoint(7)
    folder.mkdir(parents=True)
    (folder / "state").write_text("what was saved")
    with JournalWriter(workspace.control_journal(0)) as control:
        control.append(CheckpointRecord(step=7, epoch=0, dir="checkpoints/" + folder.name).model_dump())
    sys.exit(0)

signal.signal(signal.SIGTERM, save)
print("ready", flush=True)
time.sleep(600)
"""

# Neither it nor its child, in a session of its own, can be asked to leave.
STUBBORN = """
import signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
code = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
print("ready", flush=True)
time.sleep(600)
"""
