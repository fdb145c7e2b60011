"""Reads CSV and Parquet files into one table, which keeps the file and row of each line."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lepton_core.data_layout.split_names import held_out
from lepton_core.data_layout.tables import find_tables, require_same_columns
from lepton_core.errors import invalid
from lepton_trainer.recipes.tabular.csv_files import read_csv


@dataclass(frozen=True)
class Table:
    frame: pl.DataFrame
    # file names and their numbers of rows, in the order of the frame
    files: tuple[tuple[str, int], ...]
    # which rows are held out, if file names define the split
    held: NDArray[np.bool_] | None

    def place(self, row: int) -> str:
        """The place of a row of the frame (counted from 0) for people: "train.csv, row 17"."""
        for name, count in self.files:
            if row < count:
                return f"{name}, row {row + 1}"
            row -= count
        raise AssertionError(f"row {row} lies beyond the table")


def read_table(data_dir: Path) -> Table:
    """All tables of the folder, concatenated. Raises INVALID that names a file that cannot be used."""
    paths = find_tables(data_dir)
    frames = {name: _read(path, name) for name, path in paths.items()}
    require_same_columns({name: frame.columns for name, frame in frames.items()})
    files = tuple((name, frame.height) for name, frame in frames.items())
    first = next(iter(frames.values())).columns
    frame = pl.concat([frame.select(first) for frame in frames.values()], how="vertical_relaxed")
    flags = held_out([name for name, _ in files])
    held = None if flags is None else np.repeat(flags, [count for _, count in files])
    return Table(frame, files, held)


def _read(path: Path, name: str) -> pl.DataFrame:
    try:
        frame = _read_parquet(path) if path.suffix.lower() == ".parquet" else read_csv(path, name)
    except (pl.exceptions.PolarsError, OSError) as error:
        raise invalid("data", f"{name} cannot be read: {str(error)[:500]}") from None
    if frame.height == 0:
        raise invalid("data", f"{name} has 0 rows", allowed="at least 2 rows")
    return frame


def _read_parquet(path: Path) -> pl.DataFrame:
    with path.open("rb") as content:
        return pl.read_parquet(content)
