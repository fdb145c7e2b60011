"""Following a run over a connection that breaks."""

from __future__ import annotations

from pathlib import Path

from lepton_fixtures.platform import RunningPlatform

LINES = 40
SCRIPT = f"""
import time
import lepton
for number in range({LINES}):
    print(f"line {{number}}", flush=True)
    lepton.log({{"number": number}}, step=number)
    time.sleep(0.1)
"""


def test_a_followed_log_is_whole_though_the_gateway_dies(platform: RunningPlatform, tmp_path: Path) -> None:
    (tmp_path / "train.py").write_text(SCRIPT)
    (tmp_path / "job.yaml").write_text("name: talks\nscript: {folder: ., entry: train.py}\n")
    with platform.client() as client:
        run = client.jobs.submit(tmp_path / "job.yaml", progress=False)
        pieces = []
        killed = -1
        for piece in client.runs.log_pieces(run.id, follow=True, stream="rank-0"):
            pieces.append(piece.text)
            if killed < 0 and "line 3" in "".join(pieces):
                killed = platform.kill("gateway")
        assert killed >= 0
        platform.wait_back("gateway", killed)
        assert "".join(pieces).splitlines() == [f"line {number}" for number in range(LINES)]
        assert [point.value for point in client.runs.follow_metrics(run.id)] == list(range(LINES))
        assert run.wait(30, progress=False).ended
