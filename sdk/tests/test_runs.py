"""Which run is meant, and which metrics it has."""

from __future__ import annotations

import builtins
import pickle
from pathlib import Path
from typing import Any, cast

import pytest

import lepton
from lepton.cli import render
from lepton.cli.app import of_system
from lepton.cli.key_names import KeyNames
from lepton.cli.run import described
from lepton.loaded_model import load
from lepton.resources.deployments import Deployments
from lepton.resources.keys import Keys
from lepton.resources.runs import Run, RunFailedError, Runs
from lepton.transport.http import Transport
from lepton_core.api import ApiKey, Attempt, AttemptState, Cause, EndCause, MetricPoint, RunState
from lepton_core.api import Run as RunResource
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.identity.principals import Role
from lepton_core.plain_text import plain_log

FIRST, SECOND = "run_01JDPX0000AAAAAAAAAAAAAAAA", "run_01JDPX0000BBBBBBBBBBBBBBBB"


class Known(Runs):
    """Runs that are known here, and the keys of the points of each."""

    def __init__(self, *ids: str, keys: tuple[str, ...] = ()) -> None:
        self.ids, self.keys = ids, keys

    def _points(self, run_id: str, keys: object) -> builtins.list[MetricPoint]:
        return [MetricPoint(key=key) for key in self.keys if not keys or key in keys]  # type: ignore[operator]

    def list(self, *, id_prefix: str = "", limit: int = 50, **_: object) -> builtins.list[Run]:  # type: ignore[override]
        ids = [id for id in reversed(self.ids) if id.startswith(id_prefix)]
        return [Run(self, RunResource(id=id, state=RunState.QUEUED)) for id in ids[:limit]]


KILLED = Cause(
    code=EndCause.RANK_KILLED,
    parameters={"rank": 1, "log_tail": ["Traceback:", "KeyError: 'a'"]},
    message="rank 1 was killed",
)


def ended(cause: Cause | None, state: RunState = RunState.FAILED) -> Run:
    reason = cause.message if cause else "in words alone"
    return Run(Known(), RunResource(id=FIRST, state=state, reason=reason, cause=cause))


def test_the_error_of_a_run_that_failed_has_its_cause_and_the_end_of_its_log() -> None:
    error = RunFailedError(ended(KILLED))
    assert error.cause is not None
    assert (error.cause.code, error.cause.parameters["rank"]) == ("rank_killed", 1)
    assert error.detail == f"run {FIRST} failed (rank_killed): rank 1 was killed"
    escaping = KILLED.model_copy(update={"parameters": {"log_tail": ["\x1b[31mred\u202e"]}})
    assert str(RunFailedError(ended(escaping))).endswith("\n  \ufffd[31mred\ufffd")
    assert str(error).splitlines()[1:] == ["last lines of its log:", "  Traceback:", "  KeyError: 'a'"]
    # A client cannot travel between processes; what it knew of the failure can.
    copied = pickle.loads(pickle.dumps(error))
    assert (copied.detail, copied.cause) == (error.detail, error.cause)


def test_a_run_without_a_cause_has_its_reason_alone() -> None:
    error = RunFailedError(ended(None))
    assert (error.cause, str(error)) == (None, f"run {FIRST} failed: in words alone")
    odd = Cause(code="a_newer_code", parameters={"log_tail": "no list"}, message="new")
    assert str(RunFailedError(ended(odd))) == f"run {FIRST} failed (a_newer_code): new"
    cancelled = ended(Cause(code=EndCause.CANCELLED, message="cancelled on request"), RunState.CANCELLED)
    assert str(RunFailedError(cancelled)) == f"run {FIRST} cancelled: cancelled on request"


def test_run_show_has_the_code_of_the_run_and_of_each_attempt(capsys: pytest.CaptureFixture[str]) -> None:
    lost = Attempt(id="att_1", state=AttemptState.LOST, cause=Cause(code="lease_lost"), reason="no heartbeat")
    attempts = [lost, Attempt(id="att_2", state=AttemptState.FAILED, cause=KILLED, reason=KILLED.message)]
    render.out().print(described(ended(KILLED), attempts, {}, KeyNames(lepton.Client.__new__(lepton.Client))))
    lines = capsys.readouterr().out.splitlines()
    assert ["cause", "rank_killed"] in [line.split() for line in lines]
    assert any("KeyError: 'a'" in line for line in lines)
    assert any("lease_lost" in line and "no heartbeat" in line for line in lines)
    assert any(line.endswith("rank 1 was killed … KeyError: 'a'") for line in lines)


def test_last_and_the_beginning_of_an_id_stand_for_one_run() -> None:
    runs = Known(FIRST, SECOND)
    assert runs.find_id("last") == SECOND
    assert runs.find_id(FIRST[:-10]) == FIRST
    assert runs.find_id(FIRST) == FIRST


def test_a_beginning_that_fits_several_names_them() -> None:
    with pytest.raises(LeptonError, match="the beginning of several ids") as raised:
        Known(FIRST, SECOND).find_id("run_01J")
    assert raised.value.code is ErrorCode.INVALID
    assert raised.value.fields[0].allowed == f"{SECOND}, {FIRST}"


class KnownKeys(Keys):
    def __init__(self, *ids: str) -> None:
        self.ids = ids

    def list(self) -> builtins.list[ApiKey]:  # type: ignore[override]
        return [ApiKey(id=id, name="ci", role=Role.EDITOR) for id in self.ids]


def test_a_key_is_found_by_the_beginning_of_its_id() -> None:
    first, second = FIRST.replace("run_", "key_"), SECOND.replace("run_", "key_")
    keys = KnownKeys(first, second)
    assert keys.find_id(first[:-10]) == first
    assert keys.find_id(first) == first
    with pytest.raises(LeptonError, match=f"no key 'ci'.*keys of this name: {first}, {second}"):
        keys.find_id("ci")
    with pytest.raises(LeptonError, match="key: is the beginning of several ids") as raised:
        keys.find_id("key_01J")
    assert raised.value.fields[0].allowed == f"{first}, {second}"
    with pytest.raises(LeptonError, match="no key whose id begins with 'key_02'"):
        keys.find_id("key_02")


@pytest.mark.parametrize("reference", ["last", "run_02"])
def test_what_stands_for_no_run_is_not_found(reference: str) -> None:
    ids = () if reference == "last" else (FIRST,)
    with pytest.raises(LeptonError) as raised:
        Known(*ids).find_id(reference)
    assert raised.value.code is ErrorCode.NOT_FOUND


def test_a_metric_that_is_not_recorded_is_an_error_once_others_are() -> None:
    assert Known(FIRST).metric_points(FIRST, "los") == []
    runs = Known(FIRST, keys=("accuracy", "loss"))
    assert [point.key for point in runs.metric_points(FIRST, "loss")] == ["loss"]
    with pytest.raises(LeptonError, match="did you mean 'loss'") as raised:
        runs.metric_points(FIRST, "los")
    assert (raised.value.code, raised.value.fields[0].allowed) == (ErrorCode.NOT_FOUND, "accuracy, loss")


def test_an_unknown_metric_among_thousands_names_the_first_ones() -> None:
    runs = Known(FIRST, keys=tuple(f"m{number:04}" for number in range(5000)))
    with pytest.raises(LeptonError, match="did you mean 'm0007'") as raised:
        runs.metric_points(FIRST, "m0007x")
    assert raised.value.fields[0].allowed.endswith("m0029 and 4970 more")


@pytest.mark.parametrize("reference", ["", "digits", "LAST", "mv_01"])
def test_what_is_no_reference_to_a_run_says_what_is(reference: str) -> None:
    with pytest.raises(LeptonError, match=r"`last`") as raised:
        Known(FIRST).find_id(reference)
    assert raised.value.code is ErrorCode.NOT_FOUND


@pytest.mark.parametrize(("arguments", "word"), [({"limit": 0}, "limit"), ({"labels": ["team"]}, "labels")])
def test_a_list_of_runs_refuses_what_would_match_nothing(arguments: dict[str, Any], word: str) -> None:
    with pytest.raises(LeptonError, match=word):
        Runs.list(Known(FIRST), **arguments)


def test_a_version_is_not_followed() -> None:
    for alias in ("latest", "2"):
        with pytest.raises(LeptonError, match="an alias, such as champion"):
            Deployments(cast(Transport, None)).follow("digits", alias)


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (FileExistsError(17, "File exists", "a.csv"), ErrorCode.INVALID, "a.csv: there is a file of this name"),
        (FileNotFoundError(2, "No such file", "a.csv"), ErrorCode.NOT_FOUND, "a.csv: no such file or folder"),
        (IsADirectoryError(21, "Is a directory", "a"), ErrorCode.INVALID, "a: Is a directory"),
        (OSError(28, "No space left on device"), ErrorCode.INTERNAL, "No space left on device"),
    ],
)
def test_an_error_of_the_system_names_its_path_without_numbers(error: OSError, code: ErrorCode, text: str) -> None:
    found = of_system(error)
    assert (found.code, found.detail.startswith(text)) == (code, True)


@pytest.mark.parametrize(("name", "problem"), [("absent", "no such folder"), ("file", "a file")])
def test_load_names_the_folder_that_is_none(name: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(LeptonError, match=f"folder: {problem}.*{name}"):
        load(tmp_path / name)


def test_a_log_moves_no_cursor() -> None:
    assert plain_log("10 %\r20 %\r\n\x1b]0;title\x07") == "10 %\n20 %\n\ufffd]0;title\ufffd"
