"""Between resources and messages: what does not fit is said when the pair is first used, or when a value comes."""

import pytest
from pydantic import BaseModel

from lepton_core.api import Run, RunState
from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.grpc.conversion import from_proto, list_from_proto, list_to_proto, set_fields, to_proto
from lepton_core.jobs.spec import JobSpec
from lepton_proto.v1 import jobs_pb2, runs_pb2


def test_enums_json_and_numbers_cross_both_ways() -> None:
    run = Run(id="run_1", state=RunState.RUNNING, spec={"epochs": 12, "big": 2**60}, progress=0.5)
    message = to_proto(run, runs_pb2.Run)
    assert message.state == runs_pb2.RUN_STATE_RUNNING
    assert message.spec_json == '{"big":1152921504606846976,"epochs":12}'
    assert from_proto(message, Run) == run
    assert list_from_proto(list_to_proto([run, run], runs_pb2.Run), Run) == [run, run]


def test_a_resource_that_lacks_a_field_of_its_message_is_a_fault_of_ours() -> None:
    class Half(BaseModel):
        id: str = ""

    class More(Run):
        invented: str = ""

    with pytest.raises(TypeError, match="lacks"):
        to_proto(Half(), runs_pb2.Run)
    with pytest.raises(TypeError, match=r"More\.invented"):
        from_proto(runs_pb2.Run(), More)


def test_a_state_of_a_newer_server_is_refused_and_not_guessed() -> None:
    with pytest.raises(LeptonError, match="unknown value"):
        from_proto(runs_pb2.Run(state=99), Run)  # type: ignore[arg-type]
    with pytest.raises(LeptonError, match="unset"):
        from_proto(runs_pb2.Run(), Run)


@pytest.mark.parametrize("text", ["{", "nope", "[" * 100_000])
def test_json_text_that_is_none(text: str) -> None:
    with pytest.raises(LeptonError) as caught:
        set_fields(jobs_pb2.JobSpec(name="n", train_json=text), JobSpec)
    assert caught.value.code is ErrorCode.INVALID
    assert "train_json" in caught.value.detail
