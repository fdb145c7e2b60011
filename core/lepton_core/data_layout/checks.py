"""What can be known of data before it is sent: by recipe, what that recipe would refuse."""

from collections.abc import Callable, Mapping
from pathlib import Path

from lepton_core.data_layout.image_folders import check_image_folders
from lepton_core.data_layout.tables import check_tables
from lepton_core.errors import ErrorCode, LeptonError, invalid

CHECKS: Mapping[str, Callable[[Path], str]] = {"tabular": check_tables, "vision.classifier": check_image_folders}


def check_data(recipe: str, path: Path) -> str:
    """A line about the data in `path` (a folder or one file). Raises INVALID for a recipe without a check, and for
    data that the recipe would refuse; NOT_FOUND if there is nothing at `path`.
    """
    if recipe not in CHECKS:
        raise invalid("check", "there is no check for this recipe", recipe, " or ".join(CHECKS))
    if not path.exists():
        raise LeptonError(ErrorCode.NOT_FOUND, f"{path}: no such file or folder")
    return CHECKS[recipe](path)
