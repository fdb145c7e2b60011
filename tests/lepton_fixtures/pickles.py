"""A pickle that shows whether anybody loaded it."""

from __future__ import annotations

import os
from collections.abc import Callable


class Harmful:
    """Unpickled anywhere, it leaves a mark: a folder at the path `mark`."""

    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., None], tuple[str]]:
        return os.mkdir, (self.mark,)
