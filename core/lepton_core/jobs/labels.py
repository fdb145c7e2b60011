"""Labels of jobs as filters, as people write them."""

from collections.abc import Iterable

from lepton_core.errors import invalid
from lepton_core.ids import check_label


def parse_labels(texts: Iterable[str], field: str) -> dict[str, str]:
    """`team=vision` as name and value. The value may be empty and may contain `=`. Raises INVALID."""
    labels: dict[str, str] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            raise invalid(field, "not a label with its value", text, "NAME=VALUE")
        check_label(name, field)
        if labels.setdefault(name, value) != value:
            raise invalid(field, "has two values, but a run has one", name, "each name once")
    return labels
