"""What people see."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console, RenderableType
from rich.text import Text

from lepton.cli import render
from lepton.cli.exit_codes import report
from lepton.cli.keys import _seconds
from lepton.cli.lineage import draw
from lepton.cli.predict import in_own_words
from lepton.cli.recipe import kind
from lepton.cli.run import checkpoint_rows
from lepton_core.api import Checkpoint, Lineage
from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.model_format.kinds.row_files import read_rows, row_in


def drawn(what: RenderableType) -> str:
    console = Console(width=200, markup=False)
    with console.capture() as capture:
        console.print(what)
    return capture.get()


def test_a_name_cannot_move_the_cursor_or_hide_text() -> None:
    hostile = "a\x1b[2Jb\x07\u202ec"
    shown = drawn(render.table(("NAME",), [(hostile,)]))
    assert not any(letter in shown for letter in "\x1b\x07\u202e")
    assert "[red]" in drawn(render.fields({"name": "[red]x"}))


def test_a_sentence_and_json_cannot_either(capsys: pytest.CaptureFixture[str]) -> None:
    hostile = "a\x1b[2Jb\x9b\u202ec"
    render.show({}, False, lambda: Text("key ").append(hostile, style="bold"))
    render.show({"name": hostile}, True, lambda: Text(""))
    report(LeptonError(ErrorCode.NOT_FOUND, f"no {hostile}"), as_json=False)
    report(LeptonError(ErrorCode.NOT_FOUND, f"no {hostile}"), as_json=True)
    out, err = capsys.readouterr()
    assert not any(letter in out + err for letter in "\x1b\x9b\u202e")
    assert json.loads(out.split("\n", 1)[1]) == {"name": hostile}


def test_sizes_times_and_numbers() -> None:
    assert [render.size(count) for count in (0, 1023, 1024, 5 * 1024**3)] == ["0 B", "1023 B", "1.0 KiB", "5.0 GiB"]
    assert [render.duration(seconds) for seconds in (5, 65, 3700, 90000)] == [
        "5 s",
        "1 min 5 s",
        "1 h 1 min",
        "1 d 1 h",
    ]
    assert render.when(0) == "–"
    assert render.ago(int((time.time() - 7) * 1e6)) == "7 s ago"
    assert [render.number(value) for value in (0.98765, 123456.0)] == ["0.9877", "123456"]


def test_a_reason_of_many_lines_is_told_in_one() -> None:
    reason = "2 fields are wrong\n  data: too small\n  train.epochs: too large\n"
    assert render.brief(reason) == "2 fields are wrong … train.epochs: too large"
    assert render.brief("its worker was lost") == "its worker was lost"
    assert len(render.brief("x" * 4000)) == render.MAX_BRIEF_CHARS
    assert render.brief("") == ""


def test_a_card_is_indented_lines() -> None:
    card = {
        "recipe": {"name": "tabular", "deep": {"a": 0.1234567}},
        "limits": ["a b", "c"],
        "x": [{"y": None}],
        "z": {},
    }
    lines = ["recipe:", "  name: tabular", "  deep:", "    a: 0.1235", "limits: a b, c", "x:", "  1:", "    y: none"]
    assert render.outline(card) == [*lines, "z: none"]
    assert render.outline({"limits": ["a" * 50, "b" * 50]}) == ["limits:", f"  - {'a' * 50}", f"  - {'b' * 50}"]


def test_a_sparkline_shows_the_course_in_bounded_width() -> None:
    assert render.sparkline([0, 1, 2, 3, 4, 5, 6, 7]) == "▁▂▃▄▅▆▇█"
    assert render.sparkline([1, 1]) == "▁▁"
    assert len(render.sparkline([float(value) for value in range(1000)])) == 40
    assert render.sparkline([]) == ""


def lineage(edges: list[tuple[str, str, str]], root: str) -> Lineage:
    ids = dict.fromkeys([root, *(id for edge in edges for id in (edge[0], edge[2]))])
    nodes = [{"id": id, "kind": id.partition("_")[0], "name": f"n-{id}", "facts": {"accuracy": 0.98765}} for id in ids]
    listed = [{"from_id": first, "relation": relation, "to_id": second} for first, relation, second in edges]
    return Lineage.model_validate({"root_id": root, "nodes": nodes, "edges": listed})


EDGES = [
    ("rev_1", "serves", "mv_1"),
    ("mv_1", "generated", "run_1"),
    ("run_1", "used", "dsv_1"),
    ("mv_1", "used", "dsv_1"),
]


def test_lineage_upwards_draws_each_thing_once() -> None:
    lines = drawn(draw(lineage(EDGES, "rev_1"))).splitlines()
    assert "n-rev_1" in lines[0]
    assert "serves mv n-mv_1" in lines[1]
    assert "accuracy 0.9877" in lines[1]
    assert any("made by run n-run_1" in line for line in lines)
    assert sum("n-dsv_1" in line and "(above)" not in line for line in lines) == 1
    assert sum("(above)" in line for line in lines) == 1


def test_lineage_downwards_reads_the_other_way() -> None:
    shown = drawn(draw(lineage(EDGES, "dsv_1"), "down"))
    assert "used by run n-run_1" in shown
    assert "made mv n-mv_1" in shown or "used by mv n-mv_1" in shown


def test_a_fact_without_a_value_is_left_out() -> None:
    node = {"id": "env_1", "kind": "environment", "facts": {"cuda": "", "device": "cpu", "gpus": 0}}
    shown = drawn(draw(Lineage.model_validate({"root_id": "env_1", "nodes": [node], "edges": []})))
    assert "device cpu, gpus 0" in shown
    assert "cuda" not in shown


def test_a_circle_ends() -> None:
    assert "(above)" in drawn(draw(lineage([("a_1", "used", "b_1"), ("b_1", "used", "a_1")], "a_1")))


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"type": "integer", "minimum": 1, "maximum": 9}, "integer ≥ 1, ≤ 9"),
        ({"enum": ["a", "b"]}, '"a" | "b"'),
        ({"anyOf": [{"type": "number", "exclusiveMinimum": 0}, {"type": "null"}]}, "number > 0 | null"),
        ({"type": "array", "items": {"type": "string"}}, "array of string"),
        ({"$ref": "#/$defs/Split"}, "string"),
    ],
)
def test_settings_in_words(setting: Mapping[str, Any], words: str) -> None:
    assert kind(dict(setting), {"Split": {"type": "string"}}) == words


def test_rows_of_both_kinds(tmp_path: Path) -> None:
    table, lines = tmp_path / "t.csv", tmp_path / "t.jsonl"
    table.write_text("\N{ZERO WIDTH NO-BREAK SPACE}age,job\n41,nurse\n,\n", encoding="utf-8")
    lines.write_text('{"age": 41}\n\n{"age": null}\n')
    assert list(read_rows(table)) == [{"age": "41", "job": "nurse"}, {"age": None, "job": None}]
    assert list(read_rows(lines)) == [{"age": 41}, {"age": None}]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_rows_of_the_separators_that_training_takes(tmp_path: Path, separator: str) -> None:
    for name in ("t.csv", "t.tsv"):
        table = tmp_path / name
        table.write_text(f'age{separator}"a, b"{separator}c\n41,5{separator}nurse{separator}\n')
        assert list(read_rows(table)) == [{"age": "41,5", "a, b": "nurse", "c": None}]


def test_rows_are_read_as_training_reads_them(tmp_path: Path) -> None:
    table = tmp_path / "t.csv"
    table.write_text('sep=;\n"x, in mm";y\n5" pipe;"a;b"\n\n"two\nlines";\n')
    assert list(read_rows(table)) == [{"x, in mm": '5" pipe', "y": "a;b"}, {"x, in mm": "two\nlines", "y": None}]
    table.write_bytes(b"x,y\n1,2\n1,\xfc\n")
    with pytest.raises(LeptonError, match="row 2: the byte 0xfc is not UTF-8"):
        list(read_rows(table))


def test_a_row_is_json_or_a_file_of_it(tmp_path: Path) -> None:
    file = tmp_path / "row.json"
    file.write_text('{"age": 41}\n')
    assert row_in(str(file)) == row_in(' {"age": 41}') == {"age": 41}
    for wrong in (str(tmp_path / "none.json"), "x" * 5000, "a\0b", "[1]"):
        with pytest.raises(LeptonError, match="--row: not"):
            row_in(wrong)
    file.write_text("[1]")
    with pytest.raises(LeptonError, match=r"row\.json: not a JSON object"):
        row_in(str(file))


def test_a_wrong_value_is_named_by_its_row_and_column() -> None:
    server = invalid(("instances", 3, "a b"), "not a number", "x", "a number")
    assert in_own_words(server).detail == 'a b: not a number (got "x")'
    named = in_own_words(server, 201)
    assert (named.detail, named.fields[0].field) == ('row 204: a b: not a number (got "x")', "row 204: a b")
    assert in_own_words(invalid(("instances", 0), "not a row"), 1).detail == "row 1: not a row"
    assert in_own_words(LeptonError(ErrorCode.NOT_FOUND, "no such deployment")).detail == "no such deployment"


def test_columns_and_values_that_look_like_places_are_shown_as_they_are() -> None:
    wrong = invalid(("instances", 0, "instances[7].size: cm"), "not a number", "instances[5].x", "a number")
    assert in_own_words(wrong, 1).detail == 'row 1: instances[7].size: cm: not a number (got "instances[5].x")'


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.csv", "x,y\n1,2\n3\n", "line 3"),
        ("a.csv", "x,y\n1,2,3\n", "line 2"),
        ("a.csv", 'x,y\n1,2\n"5 inch,3\n', r"rows: .*a\.csv, row 2 \(line 3\): the value opens with a quote"),
        ("a.csv", '"x,y\n1,2\n', "the header: the value opens with a quote"),
        ("a.csv", "x,\n1,2\n", "column 2 has no name"),
        ("a.csv", "x,x\n1,2\n", "two columns are named 'x'"),
        ("a.csv", "", "is empty"),
        ("a.jsonl", '{"x": 1}\n[1]\n', "line 2"),
        ("a.txt", "x", "kind of file"),
    ],
)
def test_wrong_rows_are_named_by_file_and_line(tmp_path: Path, name: str, text: str, told: str) -> None:
    file = tmp_path / name
    file.write_text(text)
    with pytest.raises(LeptonError, match=told):
        list(read_rows(file))


def test_lengths_of_time() -> None:
    assert [_seconds(age) for age in ("", "90s", "2h", "90d")] == [0, 90, 7200, 90 * 86_400]
    for age in ("90", "d", "-1d", "1.5h", "٣d"):
        with pytest.raises(LeptonError):
            _seconds(age)


def test_the_best_checkpoint_is_marked() -> None:
    found = [Checkpoint(id=f"ckpt_{step}", step=step, score=score) for step, score in ((1, -2.0), (2, -0.5), (3, None))]
    assert [row[3:5] for row in checkpoint_rows(found)] == [(-2.0, ""), (-0.5, "best"), ("", "")]
