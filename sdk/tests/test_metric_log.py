"""What `lepton.log` records and how it refuses: from threads, forks and subprocesses, and whatever it is given."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from lepton_core.journal import encode_record, read_records
from lepton_core.workspace_files import ATTEMPT_FILE_VARIABLE, AttemptFile, Workspace, write_file


def run(code: str, folder: Path) -> tuple[Workspace, str]:
    """The workspace of a job that ran the code, and its standard error. The code must end well."""
    workspace = Workspace(folder)
    write_file(workspace.attempt_file, AttemptFile(run_id="run_1", attempt_id="att_1").model_dump_json().encode())
    environment = {**os.environ, "RANK": "0", ATTEMPT_FILE_VARIABLE: str(workspace.attempt_file)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    return workspace, done.stderr


def test_threads_forks_and_subprocesses_lose_no_point(tmp_path: Path) -> None:
    code = (
        "import lepton, os, subprocess, sys, threading\n"
        # Imports first: a fork while another thread imports is a deadlock in Python itself.
        "lepton.log(first=1, step=0)\n"
        "def watch(name):\n"
        "    for step in range(300): lepton.log({name: step}, step=step)\n"
        "threads = [threading.Thread(target=watch, args=(f't{n}',)) for n in range(3)]\n"
        "for each in threads: each.start()\n"
        "child = os.fork()\n"
        "if not child: watch('fork'); os._exit(0)\n"
        "loop = 'import lepton; [lepton.log(sub=s, step=s) for s in range(300)]'\n"
        "other = subprocess.Popen([sys.executable, '-c', loop])\n"
        "for each in threads: each.join()\n"
        "assert os.waitpid(child, 0)[1] == 0 and other.wait() == 0\n"
    )
    workspace, _ = run(code, tmp_path)
    records, end = read_records(workspace.metrics_journal(0))
    assert end == workspace.metrics_journal(0).stat().st_size
    for name in ("t0", "t1", "t2", "fork", "sub"):
        assert [each["s"] for each in records if name in each["k"]] == list(range(300))


def test_many_keys_are_split_over_records(tmp_path: Path) -> None:
    workspace, said = run(
        "import lepton; lepton.log({f'{n:04}' + 'x' * 250: n for n in range(2500)}, step=1)", tmp_path
    )
    records, _ = read_records(workspace.metrics_journal(0))
    assert said == ""
    assert max(len(each["k"]) for each in records) <= 1000
    assert sorted(value for each in records for value in each["k"].values()) == list(range(2500))


def test_what_is_not_recorded_is_named_once_and_the_rest_is_kept(tmp_path: Path) -> None:
    code = (
        "import lepton\n"
        "bad = {'none': None, 'text': 'cosine', 'nested': {'a': 1}, 'long': 10 ** 4999, chr(0xd800): 1, 3: 1, '': 1}\n"
        "for step in range(2): lepton.log({'loss': 1.0, **bad}, step=step)\n"
        "for step in (-1, 1.5, 'x', '3', True, 10 ** 4999): lepton.log(loss=2, step=step)\n"
        "lepton.log(7); lepton.log(loss=3, step=2.0)\n"
        "lepton.log({'odd' + chr(0x202e) + chr(27): float('nan')}, step=3)\n"
    )
    workspace, said = run(code, tmp_path)
    assert [(each["s"], each["k"]) for each in read_records(workspace.metrics_journal(0))[0]] == [
        (0, {"loss": 1}),
        (1, {"loss": 1}),
        (2, {"loss": 3}),
    ]
    for name in ("none", "text", "nested", "long"):
        assert said.count(f"lepton.log: '{name}' is ") == 1
    assert said.count("step=-1 is not recorded") == 1
    assert "a call is not recorded: TypeError" in said
    assert "odd\ufffd\ufffd is nan" in said


def test_names_beyond_the_limit_are_left_out_and_said_once(tmp_path: Path) -> None:
    workspace, said = run("import lepton\nfor n in range(10050): lepton.log({f'm{n}': 1, 'm0': 1}, step=n)", tmp_path)
    records, _ = read_records(workspace.metrics_journal(0))
    assert len({name for each in records for name in each["k"]}) == 10_000
    assert records[-1]["s"] == 10_049
    assert said.count("at most 10000 metrics") == 1


def test_a_torn_record_is_cut_off_before_the_next(tmp_path: Path) -> None:
    journal = Workspace(tmp_path).metrics_journal(0)
    journal.parent.mkdir(parents=True)
    journal.write_bytes(encode_record({"s": 1, "t": 1, "k": {"loss": 1}}) + b'1234abcd {"s":2')
    run("import lepton; lepton.log(loss=3, step=3)", tmp_path)
    assert [each["s"] for each in read_records(journal)[0]] == [1, 3]
