"""What a recipe's schema allows is what the gateway accepts, and its words name the field."""

import pytest

from lepton_core.api import Recipe
from lepton_core.errors import ErrorCode, LeptonError
from lepton_gateway.catalogue import compile_recipe

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "required": ["target"],
    "properties": {
        "target": {"type": "string", "minLength": 1},
        "epochs": {"type": "integer", "minimum": 1, "maximum": 1000, "default": 10},
        "learning_rate": {"type": "number", "exclusiveMinimum": 0, "default": 0.001},
        "optimizer": {"enum": ["adam", "sgd"], "default": "adam"},
        "layers": {"type": "array", "items": {"type": "integer", "minimum": 1}, "default": [64]},
    },
}
RECIPE = compile_recipe(Recipe(name="tabular", version="1", schema=SCHEMA))


def refusal(settings: dict[str, object]) -> LeptonError:
    with pytest.raises(LeptonError) as caught:
        RECIPE.validated(settings)
    assert caught.value.code is ErrorCode.INVALID
    return caught.value


def test_defaults_are_filled_in_and_the_clients_own_values_stay() -> None:
    found = RECIPE.validated({"target": "income", "epochs": 3})
    assert found == {"target": "income", "epochs": 3, "learning_rate": 0.001, "optimizer": "adam", "layers": [64]}


def test_defaults_are_not_shared_between_jobs() -> None:
    RECIPE.validated({"target": "a"})["layers"].append(1)
    assert RECIPE.validated({"target": "a"})["layers"] == [64]


def test_a_negative_learning_rate_names_field_value_and_what_is_allowed() -> None:
    field = refusal({"target": "a", "learning_rate": -0.1}).fields[0]
    assert (field.field, field.value) == ("train.learning_rate", "-0.1")
    assert "> 0" in field.allowed


def test_an_unknown_field_names_near_matches() -> None:
    field = refusal({"target": "a", "learning_rat": 0.1}).fields[0]
    assert field.field == "train.learning_rat"
    assert "learning_rate" in field.message


def test_a_missing_field_is_named_itself_and_not_its_parent() -> None:
    assert refusal({}).fields[0].field == "train.target"


def test_an_element_of_a_list_is_named_by_its_index() -> None:
    assert refusal({"target": "a", "layers": [8, 0]}).fields[0].field == "train.layers[1]"


@pytest.mark.parametrize("settings", [{"target": 1}, {"target": "a", "epochs": 1.5}, {"target": "a", "epochs": True}])
def test_a_wrong_type_is_refused(settings: dict[str, object]) -> None:
    refusal(settings)


def test_every_wrong_field_is_named() -> None:
    error = refusal({"target": "a", "epochs": 0, "optimizer": "lion"})
    assert {field.field for field in error.fields} == {"train.epochs", "train.optimizer"}
    assert "adam, sgd" in next(field.allowed for field in error.fields if field.field == "train.optimizer")
