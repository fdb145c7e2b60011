"""Values of a table as people write them: one form for each, the same in every file, process and door."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from lepton_core.errors import LeptonError
from lepton_core.model_format.features.pipeline import Pipeline
from lepton_core.model_format.features.values import NumberFormat, as_text, parse_date, parse_number
from lepton_core.model_format.signature import Signature
from lepton_trainer.recipes.tabular.data import Rows, read_rows
from lepton_trainer.recipes.tabular.recipe import Tabular
from lepton_trainer.recipes.tabular.settings import Settings
from lepton_trainer.training.recipe import Prepared


def write(folder: Path, text: str, name: str = "t.csv") -> Path:
    file = folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return folder


def column(folder: Path, values: list[str], separator: str = ";") -> Path:
    """A table of column `x` with these values, over and over, and a target `y` of two classes."""
    lines = [f"{values[row % len(values)]}{separator}{'ab'[row % 2]}" for row in range(60)]
    return write(folder, f"x{separator}y\n" + "\n".join(lines) + "\n")


def prepared(folder: Path, **settings: Any) -> Prepared:
    return Tabular(Settings(**{"target": "y", **settings})).prepare(folder)


def rows(folder: Path, **settings: Any) -> Rows:
    return read_rows(folder, Settings(**{"target": "y", **settings}))


def refused(folder: Path, **settings: Any) -> str:
    with pytest.raises(LeptonError) as caught:
        prepared(folder, **settings)
    return str(caught.value)


@pytest.mark.parametrize("seed", ["0", "1", "2", "3"])
def test_labels_have_one_order_whatever_the_hash_seed(seed: str) -> None:
    program = (
        "from lepton_trainer.recipes.splits import ordered_labels;"
        "print(ordered_labels({'1', '01', '1.0', '2', '10'}), ordered_labels({'b', '01', '1', 'a'}))"
    )
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True)
    assert done.stdout == "('01', '1', '1.0', '2', '10') ('01', '1', 'a', 'b')\n"


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("True", "true"),
        (True, "true"),
        (np.bool_(True).item(), "true"),
        ("1.0", "1"),
        (1.0, "1"),
        (1, "1"),
        ("007", "007"),
        ("1.10", "1.10"),
        (1e-7, "0.0000001"),
        (1e22, "10000000000000000000000"),
        (2**63 + 1, "9223372036854775809"),
        ("-0", "0"),
        (-0.0, "0"),
        (" n/a ", ""),
        ("None", "None"),
        (None, ""),
        (b"abc", "abc"),
    ],
)
def test_a_value_has_one_text(given: object, text: str) -> None:
    assert as_text(given) == text


def test_training_reads_the_text_that_serving_asks_with(tmp_path: Path) -> None:
    """Whatever spelling a file, a Parquet column or a JSON row has."""
    data = prepared(column(tmp_path, ["True", "1.0", "007", "x"]), categorical=("x",))
    found = Pipeline.of(data.signature)
    asked = [as_text(value) for value in (True, 1, "007", "x")]
    places = found({"x": np.array(asked, dtype=object)[:, None]})["categories"][:, 0]
    assert (places > 0).all()
    assert len(set(places.tolist())) == 4
    frame = pl.DataFrame({"x": [1.0, 2.0] * 30, "b": [True, False] * 30, "y": ["p", "q"] * 30})
    (tmp_path / "t.csv").unlink()
    frame.write_parquet(tmp_path / "t.parquet")
    typed = rows(tmp_path, categorical=("x",))
    assert set(typed.words["x"].tolist()) == {"1", "2"}
    assert set(typed.words["b"].tolist()) == {"true", "false"}


def test_labels_too_have_one_text(tmp_path: Path) -> None:
    write(tmp_path, "x,y\n" + "".join(f"{n},{('True', 'true', 'False')[n % 3]}\n" for n in range(60)))
    assert rows(tmp_path).labels == ("false", "true")


@pytest.mark.parametrize("marker", ["n/a", "<NA>", "None", "#N/A", "-", "null", "?"])
def test_usual_markers_are_missing_among_numbers(marker: str, tmp_path: Path) -> None:
    found = rows(column(tmp_path, [*(f"{n}.5" for n in range(4)), marker]))
    assert np.isnan(found.numbers["x"]).sum() == 12


@pytest.mark.parametrize(
    ("values", "form", "read"),
    [
        (["14,11", "2,5", "7", "1.234,5"], NumberFormat.COMMA, {14.11, 2.5, 7.0, 1234.5}),
        (["1,234.5", "12", "1,000,000"], NumberFormat.GROUPED, {1234.5, 12.0, 1e6}),
        (["45%", "0.5 %", "7%"], NumberFormat.PERCENT, {45.0, 0.5, 7.0}),
        (["45,5%", "7 %"], NumberFormat.COMMA_PERCENT, {45.5, 7.0}),
        (["1e3", "-.5", "+7"], None, {1000.0, -0.5, 7.0}),
    ],
)
def test_numbers_as_people_write_them(
    values: list[str], form: NumberFormat | None, read: set[float], tmp_path: Path
) -> None:
    column(tmp_path, values)
    data = prepared(tmp_path)
    assert set(rows(tmp_path).numbers["x"].tolist()) == read
    assert data.signature.number_formats == ({"x": form} if form else {})
    # The rule is said in the log, and serving reads text by it.
    assert any("numbers written like" in note for note in data.notes) == bool(form)
    assert {parse_number(value, form or NumberFormat.PLAIN) for value in values} == read
    again = Signature.model_validate_json(data.signature.to_json())
    assert again == data.signature
    assert ("number_formats" in data.signature.to_json()) == bool(form)


def test_numbers_that_no_rule_can_read_are_refused_with_an_example(tmp_path: Path) -> None:
    text = refused(column(tmp_path, ["1,234", "5,678", "12"]))
    assert "'x'" in text
    assert "1,234" in text
    assert "thousands or decimals" in text
    text = refused(column(tmp_path, ["12 €", "7 €", "3 €"]))
    assert "with a unit" in text
    assert "12 €" in text
    # What the settings call a category is one.
    assert set(rows(tmp_path, categorical=("x",)).words) == {"x"}


@pytest.mark.parametrize(
    "values",
    [
        ["1 234", "5 678", "9 012"],
        ["1\u202f234,50", "5\u202f678,00", "7,25"],
        ["1'234.5", "5'678", "9'012"],
        ["1.234.567", "5.678.901", "9.012.345"],
        ["1_234", "5_678", "9_012"],
        ["(12.50)", "(7.00)", "3.25"],
        ["\u22121.5", "\u22122.5", "3.5"],
        ["-$5.00", "$7.00", "$9.00"],
        ["1,5", "2,5", "3.5", "4.5"],
        ["1,5", "2,5", "3,5", "4.5"],
    ],
)
def test_numbers_of_another_notation_or_of_two_never_become_categories(values: list[str], tmp_path: Path) -> None:
    text = refused(column(tmp_path, values))
    assert "column 'x' holds numbers written like" in text
    assert "one notation in all rows" in text
    assert set(rows(tmp_path, categorical=("x",)).words) == {"x"}


def test_a_notation_that_differs_between_the_files_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "x;y\n" + "1,5;a\n2,5;b\n3,5;a\n" * 10, "train.csv")
    write(tmp_path, "x,y\n" + "1.5,a\n2.5,b\n" * 5, "test.csv")
    assert "written like '1,5' and like '1.5'" in refused(tmp_path)


@pytest.mark.parametrize("values", [["1-2", "3-4", "5-6"], ["1.2.3", "1.2.4", "2.0.0"], ["030 1234", "040 99", "1 2"]])
def test_other_text_with_digits_is_a_category(values: list[str], tmp_path: Path) -> None:
    assert set(rows(column(tmp_path, values)).words) == {"x"}


def test_leading_zeros_are_named(tmp_path: Path) -> None:
    data = prepared(column(tmp_path, ["01067", "10115", "80331"]))
    assert any("'01067', read as 1067" in note and "categorical: [x]" in note for note in data.notes)
    data = prepared(column(tmp_path, ["0.5", "10", "0"]))
    assert not any("leading zeros" in note for note in data.notes)


def test_a_column_of_numbers_with_other_words_says_why_it_is_none(tmp_path: Path) -> None:
    data = prepared(column(tmp_path, ["1", "2", "3", "unknown"]))
    assert any("75 % of its values are numbers" in note and "'unknown'" in note for note in data.notes)
    assert not any("ids do not help" in note for note in data.notes)


def test_a_target_may_be_written_with_a_comma(tmp_path: Path) -> None:
    write(tmp_path, "x;y\n" + "".join(f"{n % 7};{n % 9},{n % 10}5\n" for n in range(60)))
    found = rows(tmp_path)
    assert found.task == "regression"
    assert found.targets.max() == 8.85


def test_a_class_that_is_held_out_and_never_trained_on_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "x,y\n" + "1,cat\n2,dog\n" * 10, "train.csv")
    write(tmp_path, "x,y\n1,cat\n2,bird\n", "test.csv")
    assert "'bird'" in refused(tmp_path)


def test_a_class_with_one_example_is_refused(tmp_path: Path) -> None:
    text = refused(write(tmp_path, "x,y\n" + "1,a\n2,b\n" * 10 + "3,c\n"))
    assert "only one example: 'c'" in text


def test_rows_of_each_class_are_in_the_log(tmp_path: Path) -> None:
    assert "data: rows of each class: a (30), b (30)" in prepared(column(tmp_path, ["1", "2"])).notes


@pytest.mark.parametrize(
    ("names", "held"),
    [
        (["train.csv", "test.csv"], ["test.csv"]),
        (["a.train.csv", "a.val.csv", "a.test.csv"], ["a.val.csv", "a.test.csv"]),
        (["train/1.csv", "train/2.csv", "test/1.csv"], ["test/1.csv"]),
        (["adult_train.csv", "adult_test.csv"], ["adult_test.csv"]),
        (["blood_test.csv", "urine.csv"], []),
        (["train.csv"], []),
        (["test.csv"], []),
        (["X_train.csv", "X_test.csv"], ["X_test.csv"]),
        (["data_train_2024.csv", "data_test_2024.csv"], ["data_test_2024.csv"]),
        (["trainData.csv", "ValidData2.csv"], ["ValidData2.csv"]),
        (["train1.csv", "train2.csv", "test1.csv"], ["test1.csv"]),
        (["contest_a.csv", "training_b.csv"], []),
    ],
)
def test_names_of_files_and_folders_bring_the_split(names: list[str], held: list[str], tmp_path: Path) -> None:
    for place, name in enumerate(names):
        write(tmp_path, "x,y\n" + f"{place},a\n{place},b\n" * 10, name)
    found = rows(tmp_path)
    if held:
        assert set(found.numbers["x"][found.holdout].tolist()) == {float(names.index(name)) for name in held}
        assert found.split == "as the names of the files say"
    else:
        assert "held out, seed" in found.split


@pytest.mark.parametrize("names", [["test.csv", "val.csv"], ["test/a.csv"]])
def test_held_out_data_alone_are_not_trained_on(names: list[str], tmp_path: Path) -> None:
    for name in names:
        write(tmp_path, "x,y\n" + "1,a\n2,b\n" * 10, name)
    assert "no file to train on" in refused(tmp_path)


@pytest.mark.parametrize(
    "names",
    [["adult_train.csv", "adult_test.csv", "adult_more.csv"], ["a_train_1.csv", "a_test_1.csv", "more.csv"]],
)
def test_a_file_beside_a_split_is_named(names: list[str], tmp_path: Path) -> None:
    for name in names:
        write(tmp_path, "x,y\n" + "1,a\n2,b\n" * 10, name)
    assert f"{names[1]} is named to be held out, and {names[2]} for no part" in refused(tmp_path)


def test_a_half_named_split_is_refused(tmp_path: Path) -> None:
    write(tmp_path, "x,y\n" + "1,a\n2,b\n" * 10, "adult.csv")
    write(tmp_path, "x,y\n" + "1,a\n2,b\n" * 10, "adult.test.csv")
    text = refused(tmp_path)
    assert "adult.test.csv is named to be held out, and adult.csv for no part" in text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('x,y\n1,a\n"5 inch,b\n2,a\n', "row 2 (line 3): the value opens with a quote"),
        ('x,y\n1,a\n"5 inch,b\n2,a\n"7,b\n', "row 2 (line 3): the value opens with a quote"),
        ('"x,y\n1,a\n', "the header: the value opens with a quote"),
        ("\n\nx,y\n1,a\n", "t.csv: the first line is empty"),
        ("\n", "t.csv is empty"),
        ("x,y,z\n1,a,2\n1,b\n", "row 2 (line 3) has 2 values, and the header 3 columns"),
        ('x,y,z\n"two\nlines",a,2\n1,b\n', "row 2 (line 4) has 2 values"),
    ],
)
def test_a_row_that_does_not_fit_is_named(text: str, message: str, tmp_path: Path) -> None:
    assert message in refused(write(tmp_path, text))


def test_quotes_separators_and_lines_are_read_as_they_are(tmp_path: Path) -> None:
    lines = ['5" pipe;a', '"a;b";b', '"say ""hi""";a', '"two\nlines";b'] * 10
    write(tmp_path, 'sep=;\n"x, in mm";y\n' + "\n".join(lines) + "\n\n")
    found = rows(tmp_path)
    assert set(found.words["x, in mm"].tolist()) == {'5" pipe', "a;b", 'say "hi"', "two\nlines"}
    assert len(found.targets) == 40


def test_one_long_text_costs_what_it_is(tmp_path: Path) -> None:
    """An array of text with the room of the longest for each value would take 24 GB here."""
    lines = [f"{'long ' * 600_000 if row == 7 else f'w{row % 9}'},{'ab'[row % 2]}" for row in range(2_000)]
    data = prepared(write(tmp_path, "x,y\n" + "\n".join(lines) + "\n"))
    assert len(data.signature.to_json()) < 10_000
    assert set(data.statistics["columns"]["x"]["frequent"]) == {f"w{n}" for n in range(9)}


def test_large_whole_numbers_stay_exact(tmp_path: Path) -> None:
    ids = [str(2**60 + n) for n in range(30)]
    data = prepared(column(tmp_path, ids))
    found = rows(tmp_path)
    assert set(found.words["x"].tolist()) == set(ids)
    assert any("beyond 2^53" in note for note in data.notes)
    frame = pl.DataFrame({"x": [2**60 + n % 30 for n in range(60)], "y": ["a", "b"] * 30})
    (tmp_path / "t.csv").unlink()
    frame.write_parquet(tmp_path / "t.parquet")
    assert set(rows(tmp_path).words["x"].tolist()) == set(ids)


def test_numbers_near_1e22_are_described(tmp_path: Path) -> None:
    data = prepared(column(tmp_path, ["1e22", "1.0000000000000002e22"]))
    assert sum(data.statistics["columns"]["x"]["histogram"]["counts"]) == 48


def test_numbers_that_count_rows_are_called_ids(tmp_path: Path) -> None:
    lines = "".join(f"{n},{7 * n + n % 3},{'ab'[n % 2]}\n" for n in range(60))
    (note,) = [note for note in prepared(write(tmp_path, "row,income,y\n" + lines)).notes if "ids do not help" in note]
    assert "'row' (60 in 60 rows)" in note
    assert "income" not in note


def test_iso_dates_become_numbers_and_serving_reads_them_alike(tmp_path: Path) -> None:
    moments = ["2024-05-31", "2023-01-02", "", "2024-02-29"]
    data = prepared(column(tmp_path, moments))
    assert [tensor.datatype.value for tensor in data.signature.inputs] == ["BYTES"]
    assert any("'x' holds dates" in note for note in data.notes)
    pipeline = Pipeline.of(data.signature)
    asked = np.array([[text] for text in moments], dtype=object)
    served = pipeline({"x": asked})
    assert served["numbers"].shape == (4, 4)
    assert len({tuple(served["numbers"][row].tolist()) for row in (0, 1, 3)}) == 3
    assert served["missing"][:, 0].tolist() == [0, 0, 1, 0]
    with pytest.raises(LeptonError, match="x: not a date"):
        pipeline({"x": np.array([["31.05.2024"]], dtype=object)})
    timed = prepared(column(tmp_path, ["2024-05-31T14:30", "2024-06-01 08:00:00"]))
    assert timed.signature.model_inputs[0].shape == (-1, 5)
    assert refused(column(tmp_path, ["2024-05-31"] * 29 + ["2024-13-01"])).startswith("data: t.csv, row 30")


def test_dates_in_other_forms_are_named(tmp_path: Path) -> None:
    for values in (["31.05.2024", "01.06.2024"], ["31 May 2024", "1 Jun 2024"], ["May 31, 2024", "June 1, 2024"]):
        data = prepared(column(tmp_path, values))
        assert any(repr(values[0]) in note and "2024-05-31" in note for note in data.notes)


@pytest.mark.parametrize("form", ["{:02}:{:02}", "{}:{:02}:07 pm", "{}/{}/2024"])
def test_times_and_dates_are_named_and_never_called_ids(form: str, tmp_path: Path) -> None:
    values = [form.format(number % 12 + 1, number // 12 + 1) for number in range(120)]
    data = prepared(column(tmp_path, values))
    assert any(f"written like {values[0]!r}" in note for note in data.notes)
    assert not any("ids do not help" in note for note in data.notes)


@pytest.mark.parametrize("field", ["numeric", "categorical", "ignore"])
def test_the_target_is_no_other_column(field: str, tmp_path: Path) -> None:
    write(tmp_path, "x,y\n" + "1,a\n2,b\n" * 10)
    with pytest.raises(LeptonError, match=f"train.{field}: this is the target .*task: classification"):
        rows(tmp_path, **{field: ("y",)})


@pytest.mark.parametrize(
    ("text", "year", "hour"),
    [("2024-05-31", 2024, 0), ("2024-05-31 14:30:15.5", 2024, 14), ("2024-05-31T14:30+02:00", 2024, 14)],
)
def test_a_date_is_read_as_it_is_written(text: str, year: int, hour: int) -> None:
    found = parse_date(text)
    assert found is not None
    assert (found.year, found.hour) == (year, hour)


@pytest.mark.parametrize("value", [True, "1_000", "0x10", "abc", "1,5", "12 €"])
def test_what_is_no_number(value: object) -> None:
    assert parse_number(value) is None
