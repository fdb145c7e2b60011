"""Reads a CSV file into a frame with all values as text; types are later found for whole columns.

Rows are counted and checked by the rules of core before Polars reads the file.
"""

from pathlib import Path

import polars as pl

from lepton_core.data_layout.csv_records import CsvFile, open_csv


def read_csv(path: Path, name: str) -> pl.DataFrame:
    """Raises INVALID that names the file and the wrong row."""
    file = open_csv(path, name)
    rows = sum(1 for _ in file.records())
    if not _has_quotes(path):
        # An open file, since Polars interprets a path as a pattern.
        with path.open("rb") as content:
            frame = pl.read_csv(
                content, separator=file.separator, infer_schema=False, skip_lines=file.skipped, quote_char=None
            )
        if frame.height == rows and frame.width == len(file.header):
            return frame.rename(dict(zip(frame.columns, file.header, strict=True)))
    return _read_quoted(file)


def _has_quotes(path: Path) -> bool:
    with path.open("rb") as file:
        return any(b'"' in part for part in iter(lambda: file.read(1 << 20), b""))


def _read_quoted(file: CsvFile) -> pl.DataFrame:
    columns: list[list[str]] = [[] for _ in file.header]
    for record in file.records():
        for column, value in zip(columns, record, strict=True):
            column.append(value)
    return pl.DataFrame(dict(zip(file.header, columns, strict=True)), schema=dict.fromkeys(file.header, pl.String))
