"""What the classes of a classification need, by the number of examples of each label."""

from collections.abc import Mapping, Sequence

from lepton_core.errors import invalid

_SHOWN = 5


def require_two_of_each(counts: Mapping[str, int]) -> None:
    """Raises INVALID naming the classes with a single example: it could be trained on or measured, not both."""
    if single := [label for label, count in counts.items() if count < 2]:
        message = (
            f"{len(single)} {'class has' if len(single) == 1 else 'classes have'} only one example: {_few(single)}"
        )
        raise invalid("data", message, allowed="at least 2 examples of each class")


def require_trained(train: Mapping[str, int], holdout: Mapping[str, int]) -> None:
    """Raises INVALID for a class that is held out and never trained on: its answers could only be wrong."""
    if untrained := [label for label, count in holdout.items() if count and not train.get(label)]:
        message = f"held out, and without a training example: class {_few(untrained)}"
        raise invalid("data", message, allowed="training examples of each class that is held out")


def _few(labels: Sequence[str]) -> str:
    shown = ", ".join(map(repr, labels[:_SHOWN]))
    return shown + (f" and {len(labels) - _SHOWN} more" if len(labels) > _SHOWN else "")
