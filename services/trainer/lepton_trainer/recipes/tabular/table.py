"""Reads CSV and Parquet files into one table that still knows from which file and row each line came."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from lepton_core.errors import invalid
from lepton_trainer.recipes.splits import held_out
from lepton_trainer.recipes.tabular.csv_files import read_csv
from lepton_trainer.recipes.unread import hidden

SUFFIXES = {".csv", ".tsv", ".parquet"}
MAX_BYTES = 2 * 1024**3


@dataclass(frozen=True)
class Table:
    frame: pl.DataFrame
    # file names, and the number of rows of each, in the order of the frame
    files: tuple[tuple[str, int], ...]
    # which rows are held out, if the files say so
    held: NDArray[np.bool_] | None

    def place(self, row: int) -> str:
        """Where a row of the frame (counted from 0) stands, as people count: "train.csv, row 17"."""
        for name, count in self.files:
            if row < count:
                return f"{name}, row {row + 1}"
            row -= count
        raise AssertionError(f"row {row} lies beyond the table")


def read_table(data_dir: Path) -> Table:
    """All tables of the folder, one below the other. Raises INVALID naming the file that cannot be used."""
    found = (path for path in data_dir.rglob("*") if path.suffix.lower() in SUFFIXES and path.is_file())
    paths = sorted(path for path in found if not hidden(path.relative_to(data_dir)))
    if not paths:
        raise invalid("data", "no table in the data", allowed="files that end in .csv, .tsv or .parquet")
    if (size := sum(path.stat().st_size for path in paths)) > MAX_BYTES:
        raise invalid("data", f"the tables have {size} bytes", allowed=f"at most {MAX_BYTES} bytes")
    frames = [_read(path, path.relative_to(data_dir).as_posix()) for path in paths]
    first = frames[0].columns
    for path, frame in zip(paths, frames, strict=True):
        if different := sorted(set(first) ^ set(frame.columns)):
            names = [each.relative_to(data_dir).as_posix() for each in (path, paths[0])]
            raise invalid("data", f"{names[0]} and {names[1]} differ in column {different[0]!r}")
    files = tuple(
        (path.relative_to(data_dir).as_posix(), frame.height) for path, frame in zip(paths, frames, strict=True)
    )
    frame = pl.concat([frame.select(first) for frame in frames], how="vertical_relaxed")
    flags = held_out([name for name, _ in files])
    held = None if flags is None else np.repeat(flags, [frame.height for frame in frames])
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
