"""Where the ranks of one machine meet."""

from __future__ import annotations

import json
import os
import subprocess
import sys

from lepton_trainer.placement.local import rank_environment, rendezvous_environment

# Reports the addresses that the rank listens at while the group exists.
RANK = """
import json, os, psutil, torch
from lepton_trainer.training.process_group import join

group = join(threads_per_rank=1)
total = group.sum(torch.ones(1))
here = psutil.Process().net_connections(kind="inet")
print(json.dumps({"total": total.item(), "listens": [each.laddr.ip for each in here if each.status == "LISTEN"]}))
group.sum(total)
os._exit(0)
"""


def test_ranks_meet_at_loopback_and_nothing_else_listens() -> None:
    rendezvous = rendezvous_environment()
    ranks = [
        subprocess.Popen(
            [sys.executable, "-c", RANK],
            env=os.environ | rendezvous | rank_environment(rank, 2, "run"),
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    reports = [json.loads(rank.communicate(timeout=90)[0]) for rank in ranks]
    assert [report["total"] for report in reports] == [2, 2]
    # The store's and gloo's own.
    assert len(reports[0]["listens"]) >= 1
    assert {address for report in reports for address in report["listens"]} <= {"127.0.0.1", "::1"}
