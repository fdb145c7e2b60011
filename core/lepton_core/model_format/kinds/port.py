"""What a kind of input or output is, for all who read one: inference, gateway, SDK and command line.

Importing a kind needs no numpy: `decode` and `encode`, and nothing else, import what they compute with.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from lepton_core.errors import FieldError, LeptonError, Location, field_error, invalid_field
from lepton_core.model_format.signature import Signature

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Tensors = dict[str, NDArray[Any]]

# A request with many faults is answered as soon as these are found.
MAX_ERRORS = 20
MAX_INSTANCES = 100_000
ALLOWED_CHARS = 1000


@dataclass(frozen=True, slots=True)
class Option:
    """An option of `lepton predict`: `--<name> <metavar>`.

    `read` makes of its text what `to_json` of the kind takes or, where `many` is set, yields such.
    """

    name: str
    metavar: str
    help: str
    read: Callable[[str], Any]
    many: bool = False


class InputKind(ABC):
    """From what people have to the raw tensors of a signature.

    An *instance* is one example, as a JSON value or, where `media_types` are given, as the bytes of a file.
    """

    # `input_kind` of a signature
    name: ClassVar[str]
    # Keys of a JSON body of `:predict`: for one instance, and for a list of them.
    one: ClassVar[str]
    many: ClassVar[str]
    # Content types of bodies that are one instance, "image/*" for a whole family.
    media_types: ClassVar[tuple[str, ...]] = ()
    options: ClassVar[tuple[Option, ...]]
    # JSON Schema of an instance, and one that fits it.
    schema: ClassVar[Mapping[str, Any]]
    example: ClassVar[Any]

    def accepts(self, signature: Signature) -> bool:
        """Whether a model of this signature can be asked in this kind."""
        return signature.input_kind == self.name

    @abstractmethod
    def decode(self, signature: Signature, instances: Sequence[Any]) -> "Tensors":
        """One batch of the signature's inputs, the batch first. Raises INVALID naming instance and field."""

    @abstractmethod
    def to_json(self, value: Any) -> Any:
        """An instance for JSON from what a Python program has. Raises INVALID for what cannot be one."""

    def list_to_json(self, values: Any) -> list[Any]:
        """Instances for JSON from a list of them, or from a table or array that holds them."""
        return [self.to_json(value) for value in values]

    def arguments_to_try(self, signature: Signature, card: Mapping[str, Any], folder: Path) -> list[str]:
        """Arguments of `lepton predict` that ask the model something; empty where nothing in `folder` fits."""
        return []


class OutputKind(ABC):
    """From the outputs of a graph to an answer in words."""

    # `output_kind` of a signature
    name: ClassVar[str]
    # What every answer of this kind has, and no other kind: by it an answer is known.
    key: ClassVar[str]
    # JSON Schema of the answer's own fields, and an answer that fits it.
    properties: ClassVar[Mapping[str, Any]]
    example: ClassVar[Mapping[str, Any]]

    @abstractmethod
    def encode(self, signature: Signature, outputs: "Mapping[str, NDArray[Any]]") -> list[dict[str, Any]]:
        """The graph's outputs, the batch first, as one answer an instance, ready for JSON."""

    @abstractmethod
    def text(self, answer: Mapping[str, Any]) -> str:
        """An answer as a short text."""

    def line(self, answer: Mapping[str, Any]) -> str:
        """An answer as one line of a file of answers, fields apart by tabs."""
        return self.text(answer)

    def scores(self, answer: Mapping[str, Any]) -> list[tuple[str, float]]:
        """What is to be drawn beside the answer as bars: names and shares from 0 to 1, the largest first."""
        return []


class FieldErrors:
    """Collects what is wrong, and stops the work when MAX_ERRORS are found."""

    def __init__(self) -> None:
        self.found: list[FieldError] = []

    def add(self, field: str | Location, message: str, value: str = "", allowed: str = "") -> None:
        self._add(field_error(field, message, value, allowed))

    def _add(self, wrong: FieldError) -> None:
        self.found.append(wrong)
        if len(self.found) >= MAX_ERRORS:
            self.raise_any()

    def add_error(self, error: LeptonError) -> None:
        for each in error.fields:
            self._add(each)

    def raise_any(self) -> None:
        """Raises INVALID with everything found, if there is anything."""
        if self.found:
            raise invalid_field(self.found[0], self.found[1:])


def names_of(names: Sequence[str]) -> str:
    """Names for `allowed`, cut to what a person can read."""
    return ", ".join(names[:ALLOWED_CHARS])[:ALLOWED_CHARS]


def files_in(folder: Path, limit: int = 1000) -> Iterator[Path]:
    """Visible files of a folder in order of their names, of its first `limit` entries; none where it cannot be read."""
    entries = []
    try:
        for entry in folder.iterdir():
            entries.append(entry)
            if len(entries) == limit:
                break
    except OSError:
        return
    yield from sorted(entry for entry in entries if not entry.name.startswith(".") and entry.is_file())
