"""The job file: what is accepted, what is refused and in which words, and the digest of a submission."""

import hashlib
import json
import re
from typing import Any

import pytest

from lepton_core.errors import ErrorCode, LeptonError
from lepton_core.jobs.spec import (
    JobSpec,
    ScriptSpec,
    canonical_digest,
    canonical_json,
    check_submittable,
    job_schema,
    parse_job,
)
from lepton_core.validation import read_json

CODE = "sha256:" + "a" * 64
GOOD: dict[str, Any] = {
    "name": "digits",
    "recipe": "vision.classifier",
    "data": "digits@latest",
    "train": {"epochs": 12, "batch_size": 32, "learning_rate": 2e-3, "seed": 7},
    "resources": {"ranks": 2},
    "register": {"model": "digits"},
}
SCRIPT: dict[str, Any] = {"name": "mine", "script": {"entry": "train.py", "code": CODE}}


def refusal(**changes: Any) -> LeptonError:
    spec = {key: value for key, value in (GOOD | changes).items() if value is not None}
    with pytest.raises(LeptonError) as caught:
        parse_job(spec)
    assert caught.value.code is ErrorCode.INVALID
    return caught.value


def test_the_job_of_the_readme() -> None:
    spec = parse_job(GOOD)
    assert (spec.recipe_name, spec.recipe_version, spec.retries, spec.resources.ranks) == (
        "vision.classifier",
        "",
        2,
        2,
    )
    assert spec.register is not None
    assert spec.register.model == "digits"
    assert parse_job(json.dumps(GOOD)) == spec
    assert parse_job(json.loads(spec.model_dump_json())) == spec
    assert parse_job({**GOOD, "recipe": "tabular@1.0"}).recipe_version == "1.0"


def test_the_arguments_of_a_script_are_bounded_together() -> None:
    script = SCRIPT["script"]
    parse_job({**SCRIPT, "script": {**script, "args": ["x" * 4096] * 32}})
    with pytest.raises(LeptonError, match=r"script\.args: 131076 bytes in total; allowed: 131072"):
        parse_job({**SCRIPT, "script": {**script, "args": [*["x" * 4096] * 31, "\U0001f600" * 1024, "\U0001f600"]}})


def test_a_job_without_register_registers_nothing() -> None:
    assert parse_job({key: value for key, value in GOOD.items() if key != "register"}).register is None


@pytest.mark.parametrize(
    ("changes", "field", "told"),
    [
        ({"recipee": "x"}, "recipee", "did you mean 'recipe'"),
        ({"resources": {"rank": 2}}, "resources.rank", "did you mean 'ranks'"),
        ({"resources": {"ranks": 0}}, "resources.ranks", "at least 1"),
        ({"resources": {"ranks": 65}}, "resources.ranks", "at most 64"),
        ({"resources": {"ranks": True}}, "resources.ranks", "whole number"),
        ({"retries": 11}, "retries", "at most 10"),
        ({"retries": -1}, "retries", "at least 0"),
        ({"retries": "3"}, "retries", "whole number"),
        ({"name": "../x"}, "name", "letters, digits"),
        ({"name": None}, "name", "required"),
        ({"data": None}, "data", "a recipe needs a dataset"),
        ({"data": "digits@"}, "data", "name@latest"),
        ({"data": "../etc@1"}, "data", "not a reference"),
        ({"recipe": None}, "recipe", "neither is set"),
        ({"recipe": "Vision Classifier"}, "recipe", "name or name@version"),
        ({"script": SCRIPT["script"]}, "recipe", "both are set"),
        ({"train": [1]}, "train", "not an object (got [1])"),
        ({"register": "m"}, "register", 'not an object (got "m"); allowed: an object with model, alias'),
        ({"labels": ["a"]}, "labels", "not an object"),
        ({"train": {"a": float("nan")}}, "train", "JSON"),
        ({"train": {"a": "x" * 70_000}}, "train", "65536"),
        ({"train": {"a": "\ud800"}}, "train", "JSON"),
        ({"register": {"model": "a/b"}}, "register.model", "letters, digits"),
        ({"register": {}}, "register.model", "required"),
        ({"register": {"model": "m", "alias": "3"}}, "register.alias", "first a letter"),
        ({"register": {"model": "m", "alias": "latest"}}, "register.alias", "not 'latest'"),
        ({"limits": {"max_disk_bytes": -1}}, "limits.max_disk_bytes", "at least 0"),
        ({"labels": {"a b": "x"}}, "labels", ""),
        ({"labels": {str(i): "x" for i in range(65)}}, "labels", "64"),
        ({"spec_version": 2}, "spec_version", "1"),
    ],
)
def test_refusals_name_the_field_and_what_is_allowed(changes: dict[str, Any], field: str, told: str) -> None:
    error = refusal(**changes)
    assert error.fields[0].field.startswith(field)
    assert told in str(error)


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../x.py", "a/../../x.py", "a\\b.py", "a\x00.py", "a\n.py", ".", "..", "x" * 2000]
)
@pytest.mark.parametrize("field", ["entry", "requirements"])
def test_paths_of_a_script_stay_within_its_folder(field: str, path: str) -> None:
    if field == "requirements" and not path:
        return
    with pytest.raises(LeptonError) as caught:
        parse_job({"name": "n", "script": {"entry": "train.py", field: path}})
    assert caught.value.fields[0].field == f"script.{field}"


def test_a_server_takes_uploaded_code_and_no_folder() -> None:
    check_submittable(parse_job(SCRIPT))
    check_submittable(parse_job(GOOD))
    for script in ({"entry": "train.py"}, {"entry": "train.py", "code": CODE, "folder": "."}):
        with pytest.raises(LeptonError, match=r"script\.(code|folder)"):
            check_submittable(parse_job({"name": "n", "script": script}))


def test_the_client_s_folder_never_leaves_the_client() -> None:
    spec = parse_job({"name": "n", "script": {"entry": "train.py", "folder": "/home/someone"}})
    assert "someone" not in spec.model_dump_json()


def test_the_digest_is_of_what_was_said_and_not_of_how() -> None:
    shuffled = dict(reversed(GOOD.items()))
    assert canonical_digest(GOOD) == canonical_digest(json.loads(json.dumps(shuffled, indent=3)))
    assert canonical_digest(GOOD) != canonical_digest({**GOOD, "retries": 2}), "a default that was said was said"
    assert canonical_digest(GOOD) != canonical_digest({**GOOD, "train": {**GOOD["train"], "seed": 8}})
    assert re.fullmatch(r"1:sha256:[0-9a-f]{64}", canonical_digest(GOOD))
    assert canonical_digest(GOOD, 2) != canonical_digest(GOOD, 1)


def test_the_digest_of_format_1_never_changes() -> None:
    """A stored key answers a retry years later: this value is part of the contract."""
    assert canonical_digest({"name": "ä", "train": {"b": 0.002, "a": [1, None, True]}}) == (
        "1:sha256:" + hashlib.sha256('{"name":"ä","train":{"a":[1,null,true],"b":0.002}}'.encode()).hexdigest()
    )


def test_canonical_json_keeps_whole_numbers_and_refuses_what_json_cannot_say() -> None:
    assert canonical_json({"b": 2**60, "a": 12}) == '{"a":12,"b":1152921504606846976}'
    for value in (float("inf"), {"a": object()}, "\ud800", {1: {2}}):
        with pytest.raises(LeptonError):
            canonical_json(value)


@pytest.mark.parametrize(
    "text", [b"", b"{", b"NaN", b'{"a": Infinity}', b"1e999", b"\xff", b"[" * 200_000, b'"\\ud800"', b'{"a":1}x']
)
def test_json_of_a_stranger(text: bytes) -> None:
    with pytest.raises(LeptonError) as caught:
        read_json(text)
    assert caught.value.code is ErrorCode.INVALID


def test_the_schema_serves_an_editor() -> None:
    schema = job_schema()
    assert schema["additionalProperties"] is False
    assert next(iter(schema["properties"])) == "name"
    parts = [schema, *schema["$defs"].values()]
    told = {name: each for part in parts for name, each in part["properties"].items()}
    undescribed = [name for name, each in told.items() if not ("description" in each or "$ref" in json.dumps(each))]
    assert undescribed == []
    for example in schema["examples"]:
        parse_job(example)
    assert set(schema["properties"]) == set(JobSpec.model_fields)


def test_arguments_may_be_written_as_numbers() -> None:
    script = {"entry": "train.py", "args": ["--epochs", 3, "--rate", 0.5, "007"]}
    assert ScriptSpec.model_validate(script).args == ["--epochs", "3", "--rate", "0.5", "007"]
    with pytest.raises(ValueError, match=r"args\.1"):
        ScriptSpec.model_validate({"entry": "train.py", "args": ["--fast", True]})
