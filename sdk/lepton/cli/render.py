"""Output for a terminal: tables, outlines, times and sizes. Nothing here calls a server."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from pydantic import BaseModel
from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from lepton_core.plain_text import plain, plain_json

STATE_STYLES = {
    "queued": "yellow",
    "pending": "yellow",
    "running": "cyan",
    "succeeded": "green",
    "ready": "green",
    "failed": "bold red",
    "lost": "red",
    "cancelled": "magenta",
    "retired": "dim",
    "draining": "yellow",
    "drained": "dim",
}
BARS = "▁▂▃▄▅▆▇█"
MAX_BRIEF_CHARS = 200
# Longer lists get one line for each item.
MAX_LIST_CHARS = 80
# Output to another program is not cut to the width of a terminal.
PIPED_WIDTH = 400


def out() -> Console:
    width = None if sys.stdout.isatty() else PIPED_WIDTH
    return Console(highlight=False, markup=False, emoji=False, width=width)


def show(value: Any, as_json: bool, draw: Callable[[], RenderableType]) -> None:
    """Prints exactly one JSON document, or else the result of `draw`."""
    if as_json:
        print_json(value)
        return
    drawn = draw()
    if isinstance(drawn, Text):
        # Character by character, so the styles keep their places.
        drawn.plain = plain(drawn.plain)
    # The terminal wraps sentences and commands: a line break of ours would be copied with a command.
    out().print(drawn, soft_wrap=isinstance(drawn, Text))


def print_json(value: Any) -> None:
    sys.stdout.write(plain_json(json.dumps(jsonable(value), indent=2, ensure_ascii=False)) + "\n")


def print_json_line(value: Any) -> None:
    """Prints one document of a stream, without delay."""
    sys.stdout.write(plain_json(json.dumps(jsonable(value), ensure_ascii=False)) + "\n")
    sys.stdout.flush()


def jsonable(value: Any) -> Any:
    if isinstance(value, BaseModel):
        return value.model_dump(mode="json")
    if isinstance(value, Mapping):
        return {str(key): jsonable(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [jsonable(each) for each in value]
    return value


def cell(value: object) -> Text:
    if isinstance(value, Text):
        return value
    if value is None:
        return Text("–", style="dim")
    if isinstance(value, float):
        return Text(number(value))
    return Text(plain(str(value)))


def table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, empty: str = "") -> RenderableType:
    """Columns whose title begins with `#` are aligned right. `empty` is shown instead of a table without rows."""
    found = Table(box=box.SIMPLE_HEAD, header_style="bold", pad_edge=False, show_edge=False)
    for column in columns:
        found.add_column(column.removeprefix("#"), justify="right" if column.startswith("#") else "left")
    for row in rows:
        found.add_row(*map(cell, row))
    return found if found.row_count or not empty else Text(empty, style="dim")


def fields(values: Mapping[str, object]) -> Table:
    """Names and values in two columns, without empty values."""
    found = Table.grid(padding=(0, 2))
    found.add_column(style="bold")
    found.add_column(overflow="fold")
    for name, value in values.items():
        if value not in (None, "", {}, []):
            found.add_row(name, cell(value))
    return found


def outline(document: Mapping[Any, Any]) -> list[str]:
    """A JSON document as indented lines `name: value`."""
    lines: list[str] = []
    for name, value in document.items():
        if isinstance(value, Mapping) and value:
            lines += [f"{name}:", *(f"  {line}" for line in outline(value))]
        elif isinstance(value, list) and any(isinstance(each, Mapping | list) for each in value):
            lines += [f"{name}:", *(f"  {line}" for line in outline(dict(enumerate(value, 1))))]
        elif isinstance(value, list) and sum(len(_scalar(each)) for each in value) > MAX_LIST_CHARS:
            lines += [f"{name}:", *(f"  - {_scalar(each)}" for each in value)]
        elif isinstance(value, list):
            lines.append(f"{name}: {', '.join(map(_scalar, value)) or 'none'}")
        else:
            lines.append(f"{name}: {_scalar(value)}")
    return lines


def _scalar(value: object) -> str:
    if isinstance(value, float):
        return number(value)
    if value is None or value == {}:
        return "none"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def state(name: str) -> Text:
    return Text(name, style=STATE_STYLES.get(name, ""))


def brief(reason: str) -> str:
    """A reason in one line. Of several lines, the first and the last, which is the error in a traceback."""
    lines = [line.strip() for line in reason.splitlines() if line.strip()]
    text = " … ".join(dict.fromkeys((lines[0], lines[-1]))) if lines else ""
    return text if len(text) <= MAX_BRIEF_CHARS else text[: MAX_BRIEF_CHARS - 1] + "…"


def when(at_us: int) -> str:
    """The local time, and how long ago it was; "–" for 0."""
    if not at_us:
        return "–"
    local = datetime.fromtimestamp(at_us / 1e6).astimezone()
    return f"{local:%Y-%m-%d %H:%M:%S} ({ago(at_us)})"


def ago(at_us: int) -> str:
    if not at_us:
        return "–"
    passed = time.time() - at_us / 1e6
    return f"{duration(passed)} ago" if passed >= 0 else f"in {duration(-passed)}"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{seconds // 60:.0f} min {seconds % 60:.0f} s"
    if seconds < 86_400:
        return f"{seconds // 3600:.0f} h {seconds % 3600 // 60:.0f} min"
    return f"{seconds // 86_400:.0f} d {seconds % 86_400 // 3600:.0f} h"


def size(count: int) -> str:
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1024
    return f"{value:.1f} TiB"


def count(number: int, noun: str) -> str:
    """`1 file`, `1,797 files`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def number(value: float) -> str:
    return f"{value:.4g}" if abs(value) < 1e5 else f"{value:.6g}"


def sparkline(values: Sequence[float], width: int = 40) -> str:
    """A line chart of `values` in at most `width` characters."""
    if not values:
        return ""
    picked = [values[index * len(values) // width] for index in range(width)] if len(values) > width else values
    low, high = min(picked), max(picked)
    scale = (len(BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(BARS[int((value - low) * scale)] for value in picked)
