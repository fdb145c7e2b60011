"""What the tabular recipe makes of CSV and Parquet files, and how it refuses what it cannot use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

from lepton_core.errors import LeptonError
from lepton_core.model_format.features.pipeline import Pipeline
from lepton_core.model_format.kinds import decode_instances, encode_outputs
from lepton_core.model_format.package_check import check_package
from lepton_trainer.recipes.tabular.data import read_rows
from lepton_trainer.recipes.tabular.recipe import Tabular
from lepton_trainer.recipes.tabular.settings import Settings

WINE = load_wine(as_frame=False)


def wine_frame() -> pl.DataFrame:
    """Wine with its class as a word, a text column, and a few missing values."""
    frame = pl.DataFrame({name: WINE.data[:, place] for place, name in enumerate(WINE.feature_names)})
    colour = np.where(WINE.data[:, 9] > 5, "dark", "light").tolist()
    alcohol = [None if row % 17 == 0 else value for row, value in enumerate(WINE.data[:, 0])]
    return frame.with_columns(
        pl.Series("alcohol", alcohol, pl.Float64),
        pl.Series("shade", colour),
        pl.Series("kind", [f"k{n}" for n in WINE.target]),
    )


def test_a_csv_is_learned_and_predicts_raw_rows(bench: Any, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    wine_frame().write_csv(data / "wine.csv", null_value="?")
    settings = {"target": "kind", "epochs": 30, "batch_size": 16, "learning_rate": 3e-3}
    workspace = bench.workspace("wine", data, settings, recipe="tabular")
    outcome = bench.run(workspace, 1)
    assert outcome.status == "succeeded"
    assert outcome.metrics["accuracy"] >= 0.9

    signature = check_package(workspace.package)
    assert (signature.input_kind, signature.output_kind, signature.target) == ("row", "class", "kind")
    rows: list[dict[str, Any]] = wine_frame().to_dicts()
    session = onnxruntime.InferenceSession(workspace.package / "model.onnx")
    pipeline = Pipeline.of(signature)
    (given,) = session.run(None, pipeline(decode_instances(signature, rows)))
    answers = encode_outputs(signature, {signature.outputs[0].name: given})
    assert np.mean([answer["label"] == row["kind"] for answer, row in zip(answers, rows, strict=True)]) >= 0.95
    # A row with nothing but one unseen word still has an answer.
    (alone,) = session.run(None, pipeline(decode_instances(signature, [{"shade": "never seen"}])))
    assert np.isfinite(alone).all()
    statistics = json.loads(workspace.statistics.read_bytes())
    assert statistics["columns"]["alcohol"]["missing"] > 0
    assert set(statistics["columns"]["shade"]["frequent"]) == {"dark", "light"}


def test_a_number_is_predicted_in_its_own_unit(bench: Any, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    source = load_diabetes()
    frame = pl.DataFrame(dict(zip(source.feature_names, source.data.T, strict=True)) | {"progression": source.target})
    frame.write_parquet(data / "diabetes.parquet")
    settings = {"target": "progression", "epochs": 40, "learning_rate": 3e-3}
    workspace = bench.workspace("diabetes", data, settings, recipe="tabular")
    outcome = bench.run(workspace, 1)
    assert outcome.status == "succeeded", outcome.reason
    assert outcome.metrics["r2"] >= 0.3
    assert 40 <= outcome.metrics["rmse"] <= 70
    assert outcome.metrics["mae"] < outcome.metrics["rmse"]
    signature = check_package(workspace.package)
    session = onnxruntime.InferenceSession(workspace.package / "model.onnx")
    (given,) = session.run(None, Pipeline.of(signature)(decode_instances(signature, frame.to_dicts())))
    values = [answer["value"] for answer in encode_outputs(signature, {"value": given})]
    assert np.corrcoef(values, source.target)[0, 1] > 0.6


def test_columns_find_their_kinds(tmp_path: Path) -> None:
    (tmp_path / "people.csv").write_text(
        "age;city;code;empty;vip;target\n"
        + "".join(f"{20 + n};{'ab'[n % 2]};{n % 3};;{n % 2 == 0};{n % 2}\n" for n in range(30))
    )
    rows = read_rows(tmp_path, Settings(target="target", categorical=("code",)))
    assert set(rows.numbers) == {"age"}
    assert set(rows.words) == {"city", "code", "vip"}
    assert rows.left_out == ("empty",)
    assert (rows.task, rows.labels) == ("classification", ("0", "1"))
    rows = read_rows(tmp_path, Settings(target="age", ignore=("vip",)))
    assert rows.task == "regression"
    assert set(rows.words) == {"city"}


def test_files_may_bring_the_split(tmp_path: Path) -> None:
    frame = wine_frame()
    frame[::2].write_csv(tmp_path / "wine.train.csv")
    frame[1::2].write_csv(tmp_path / "wine.test.csv")
    rows = read_rows(tmp_path, Settings(target="kind"))
    assert (len(rows.train), len(rows.holdout)) == (89, 89)
    frame[1::2].rename({"hue": "colour"}).write_csv(tmp_path / "wine.test.csv")
    refuse(tmp_path, {"target": "kind"}, "differ in column", "colour")


def test_the_file_that_was_trained_on_can_be_asked_about(tmp_path: Path) -> None:
    rows = [{"id": f"C{n}", "age": 30 + n % 9, "notes": None, "churned": "yes" if n % 3 else "no"} for n in range(60)]
    pl.DataFrame(rows, schema_overrides={"notes": pl.String}).write_csv(tmp_path / "data.csv")
    signature = Tabular(Settings(target="churned", ignore=("id",))).prepare(tmp_path).signature
    assert signature.ignored == ("id", "notes")
    assert decode_instances(signature, rows)["age"].shape == (60, 1)
    with pytest.raises(LeptonError, match="the model has no such column"):
        decode_instances(signature, [{"age": 30, "plan": "basic"}])


def test_rows_without_a_target_are_left_out_and_counted(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,b\n" + "".join(f"{n},{n % 2 if n % 5 else ''}\n" for n in range(40)))
    data = Tabular(Settings(target="b")).prepare(tmp_path)
    assert data.description["rows_without_target"] == 8
    assert "data: 8 of 40 rows left out: no value in the target column 'b'" in data.notes
    assert any("8 rows without" in limit for limit in data.limits)


def test_the_card_tells_usual_words_and_the_log_what_looks_like_an_id(tmp_path: Path) -> None:
    words = ["", "rare", "rare", "usual", "usual", "usual", "", "", "", ""]
    lines = [f"c{n},{words[n % 10]},{'' if n % 4 else f'n{n}'},{n % 2}\n" for n in range(40)]
    (tmp_path / "t.csv").write_text("customer,plan,note,target\n" + "".join(lines))
    (tmp_path / "._t.csv").write_bytes(b"left by an archiver")
    (tmp_path / "notes.txt").write_text("how it was made")
    data = Tabular(Settings(target="target", ignore=("note",))).prepare(tmp_path)
    assert data.description["usual"]["plan"] == "usual"
    (told,) = [note for note in data.notes if "different values" in note]
    assert "'customer' (40 in 40 rows)" in told
    assert '`ignore: ["note", "customer"]` under `train`' in told
    assert data.notes[-1] == "data: 2 files not read: notes.txt, ._t.csv"
    ignoring = Tabular(Settings(target="target", ignore=("customer",))).prepare(tmp_path)
    assert not [note for note in ignoring.notes if "different values" in note]


def test_breast_cancer_splits_by_class(tmp_path: Path) -> None:
    source = load_breast_cancer()
    frame = pl.DataFrame(dict(zip(source.feature_names, source.data.T, strict=True)) | {"label": source.target})
    frame.write_csv(tmp_path / "cancer.csv")
    rows = read_rows(tmp_path, Settings(target="label", holdout_fraction=0.3))
    shares = np.bincount(rows.targets[rows.holdout]) / np.bincount(rows.targets)
    assert np.abs(shares - 0.3).max() < 0.01


def refuse(folder: Path, settings: dict[str, Any], *words: str) -> None:
    with pytest.raises(LeptonError) as caught:
        Tabular(Settings(**settings)).prepare(folder)
    text = str(caught.value) + caught.value.fields[0].allowed
    for word in words:
        assert word in text, text


def test_a_missing_target_column(tmp_path: Path) -> None:
    wine_frame().write_csv(tmp_path / "wine.csv")
    refuse(tmp_path, {"target": "knid"}, "train.target", "wine.csv", "knid", "kind")
    refuse(tmp_path, {"target": "kind", "ignore": ["nothing"]}, "train.ignore", "nothing")


def test_a_text_in_a_column_of_numbers_names_file_and_row(tmp_path: Path) -> None:
    lines = ["age,target"] + [f"{n},{n % 2}" for n in range(60)]
    lines[17] = "forty,1"
    (tmp_path / "a.csv").write_text("age,target\n1,0\n2,1\n")
    (tmp_path / "people.csv").write_text("\n".join(lines) + "\n")
    refuse(tmp_path, {"target": "target"}, "people.csv, row 17", "age", "forty", "categorical")
    lines[17] = "inf,1"
    (tmp_path / "people.csv").write_text("\n".join(lines) + "\n")
    refuse(tmp_path, {"target": "target"}, "people.csv, row 17", "finite")
    refuse(tmp_path, {"target": "age", "task": "regression"}, "people.csv, row 17")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,target\n", "0 rows"),
        ("", "empty"),
        ("a,a,target\n1,2,3\n", "two columns are named 'a'"),
        ("a,,target\n1,2,3\n", "column 2 has no name"),
        (",a,target\n1,2,3\n", "index=False"),
        ("a,target\n1,2\n1,2,3,4\n", "table.csv, row 2 (line 3) has 4 values"),
        ("a,target\n1,x\n2,x\n", "every row has the value"),
        ("a,target\n1,\n2,\n", "no value in any row"),
        ("target\n1\n2\n", "there is no column"),
    ],
)
def test_tables_that_cannot_be_used(text: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text(text)
    refuse(tmp_path, {"target": "target"}, words)


def test_files_that_are_no_tables(tmp_path: Path) -> None:
    refuse(tmp_path, {"target": "x"}, "no table", ".parquet")
    (tmp_path / "broken.parquet").write_bytes(b"PAR1 is how it begins, and no more")
    refuse(tmp_path, {"target": "x"}, "broken.parquet cannot be read")
    (tmp_path / "broken.parquet").unlink()


@pytest.mark.parametrize(("row", "place"), [(0, "latin.csv, the header"), (3, "latin.csv, row 3"), (4000, "row 4000")])
def test_a_text_that_is_not_utf8_names_its_row_and_what_to_do(row: int, place: str, tmp_path: Path) -> None:
    lines = ["name,target", *(f"person {number},{number % 2}" for number in range(1, 5001))]
    lines[row] = lines[row].replace("n", "\xfc", 1)
    (tmp_path / "latin.csv").write_text("\n".join(lines), encoding="latin-1")
    refuse(tmp_path, {"target": "target"}, place, "0xfc", "save it as UTF-8")
