"""Tables: the files of a folder that are read as one table."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from lepton_core.data_layout.csv_records import SUFFIXES as CSV_SUFFIXES
from lepton_core.data_layout.csv_records import open_csv
from lepton_core.data_layout.hidden import hidden
from lepton_core.data_layout.split_names import held_out
from lepton_core.errors import invalid

SUFFIXES = (*CSV_SUFFIXES, ".parquet")
MAX_BYTES = 2 * 1024**3


def find_tables(data: Path) -> dict[str, Path]:
    """Name → file, in the order of the paths. `data` is a folder or one file. Raises INVALID for none, and too many."""
    root = data.parent if data.is_file() else data
    found = [data] if data.is_file() else [path for path in data.rglob("*") if not hidden(path.relative_to(root))]
    paths = sorted(path for path in found if path.suffix.lower() in SUFFIXES and path.is_file())
    if not paths:
        raise invalid("data", "no table in the data", allowed="files that end in .csv, .tsv or .parquet")
    if (size := sum(path.stat().st_size for path in paths)) > MAX_BYTES:
        raise invalid("data", f"the tables have {size} bytes", allowed=f"at most {MAX_BYTES} bytes")
    return {path.relative_to(root).as_posix(): path for path in paths}


def require_same_columns(columns: Mapping[str, Sequence[str]]) -> None:
    """`columns` of each file, by its name. Raises INVALID naming two files and a column that only one of them has."""
    names = list(columns)
    for name in names[1:]:
        if different := sorted(set(columns[names[0]]) ^ set(columns[name])):
            message = f"{name} and {names[0]} differ in column {different[0]!r}"
            raise invalid("data", message, allowed="the same columns in every file")


def check_tables(data: Path) -> str:
    """A line about what was found. Raises INVALID for what the tabular recipe would refuse in names, rows and columns.

    Parquet files are not opened, and values are not looked at: both need more than the command has.
    """
    paths = find_tables(data)
    parts = held_out(list(paths))
    files = [open_csv(path, name) for name, path in paths.items() if path.suffix.lower() in CSV_SUFFIXES]
    require_same_columns({file.name: file.header for file in files})
    rows = 0
    for file in files:
        count = sum(1 for _ in file.records())
        if count == 0:
            raise invalid("data", f"{file.name} has 0 rows", allowed="at least 2 rows")
        rows += count
    split = "a share of the rows is held out" if parts is None else f"{sum(parts)} of the files are held out"
    unopened = len(paths) - len(files)
    more = f"; {unopened} Parquet files are checked by the run alone" if unopened else ""
    return f"{rows} rows in {len(files)} CSV files; {split}{more}"
