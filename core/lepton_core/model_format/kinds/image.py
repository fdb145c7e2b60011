"""Images: files in the formats that Pillow reads."""

import base64
import binascii
import io
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lepton_core.errors import ErrorCode, LeptonError, invalid
from lepton_core.model_format.kinds.port import FieldErrors, InputKind, Option, files_in
from lepton_core.model_format.signature import Signature

if TYPE_CHECKING:
    from lepton_core.model_format.kinds.port import Tensors

# Of a file that a client sends; base64 makes a third more of it.
MAX_SENT_BYTES = 24 * 1024 * 1024
# Of one request: of the files as they come, and of the tensor that they become.
MAX_REQUEST_PIXELS = 100_000_000
MAX_TENSOR_BYTES = 512 * 1024 * 1024
# The first bytes of files of the readable formats; WEBP has its name after a length.
_MAGIC = (b"\x89PNG", b"\xff\xd8\xff", b"BM", b"GIF8", b"II*\x00", b"MM\x00*", b"P4", b"P5", b"P6")
_SEARCHED_FOLDERS = 200


class ImageInput(InputKind):
    """Each instance: the bytes of an image file, their base64 text, or {"image": …} holding either."""

    name = "image"
    one = "image"
    many = "images"
    media_types = ("image/*", "application/octet-stream")
    options = (Option("image", "FILE", "An image file.", Path),)
    schema = {"type": "string", "contentEncoding": "base64", "description": "An image file in base64."}
    example = "iVBORw0KGgo…"

    def decode(self, signature: Signature, instances: Sequence[Any]) -> "Tensors":
        import numpy as np

        from lepton_core.model_format.images import ImageError, decode_image, pixel_count

        tensor = signature.inputs[0]
        height, width, channels = tensor.shape[1:]
        if len(instances) * height * width * channels > MAX_TENSOR_BYTES:
            most = MAX_TENSOR_BYTES // (height * width * channels)
            raise LeptonError(ErrorCode.TOO_LARGE, f"{len(instances)} images in a request; this model takes {most}")
        errors = FieldErrors()
        files: list[bytes] = []
        total = 0
        for index, instance in enumerate(instances):
            try:
                files.append(_file_bytes(instance, index))
                total += pixel_count(files[-1])
            except ImageError as error:
                errors.add(("instances", index, "image"), error.reason)
            except LeptonError as error:
                errors.add_error(error)
            if total > MAX_REQUEST_PIXELS:
                # Before anything is decoded: a file of some kilobytes may hold fifty million pixels.
                detail = f"the images of a request have more than {MAX_REQUEST_PIXELS} pixels together; send fewer"
                raise LeptonError(ErrorCode.TOO_LARGE, detail)
        errors.raise_any()
        pixels = np.empty((len(files), height, width, channels), np.uint8)
        for index, data in enumerate(files):
            try:
                pixels[index] = decode_image(data, height, width, channels)
            except ImageError as error:
                errors.add(("instances", index, "image"), error.reason)
        errors.raise_any()
        return {tensor.name: pixels}

    def to_json(self, value: Any) -> str:
        """The base64 text of a file (a path, its bytes), of a Pillow image, or of an array (height, width[, 3])."""
        if isinstance(value, str | os.PathLike):
            data = _read(Path(value))
        elif isinstance(value, bytes | bytearray | memoryview):
            data = bytes(value)
        elif hasattr(value, "read"):
            data = value.read()
        elif hasattr(value, "save") and hasattr(value, "mode"):
            data = _saved(value)
        elif hasattr(value, "__array_interface__"):
            data = _saved(_from_array(value))
        else:
            allowed = "the path or bytes of an image file, a Pillow image, or an array of UINT8 pixels"
            raise invalid("image", "not an image", type(value).__name__, allowed)
        if len(data) > MAX_SENT_BYTES:
            raise LeptonError(ErrorCode.TOO_LARGE, f"an image of {len(data)} bytes; at most {MAX_SENT_BYTES} are sent")
        return base64.b64encode(data).decode()

    def arguments_to_try(self, signature: Signature, card: Mapping[str, Any], folder: Path) -> list[str]:
        """An image that lies in the folder, or in a folder below it that is named as one of the model's labels."""
        for place in (folder, *_labelled_folders(folder, signature.labels)):
            for file in files_in(place):
                if _is_image(file):
                    return ["--image", str(file.relative_to(folder))]
        return []


def _file_bytes(instance: Any, index: int) -> bytes:
    if isinstance(instance, Mapping):
        instance = instance.get("image")
    if isinstance(instance, str):
        # As mail and many encoders write it: in lines; as browsers do: behind "data:image/png;base64,".
        text = instance.partition(",")[2] if instance.startswith("data:") else instance
        try:
            return base64.b64decode("".join(text.split()).encode(), validate=True)
        except (binascii.Error, UnicodeError):
            raise invalid(("instances", index, "image"), "not base64", instance, "an image file in base64") from None
    if isinstance(instance, bytes | bytearray | memoryview):
        return bytes(instance)
    raise invalid(
        ("instances", index, "image"), "no image here", instance, 'an image file in base64, as {"image": "…"}'
    )


def _read(file: Path) -> bytes:
    try:
        if file.stat().st_size > MAX_SENT_BYTES:
            raise LeptonError(ErrorCode.TOO_LARGE, f"{file}: an image has at most {MAX_SENT_BYTES} bytes")
        return file.read_bytes()
    except OSError as error:
        raise LeptonError(ErrorCode.NOT_FOUND, f"{file}: {error.strerror}") from None


def _saved(image: Any) -> bytes:
    stream = io.BytesIO()
    # A PNG holds no floating-point numbers.
    image.save(stream, "TIFF" if image.mode == "F" else "PNG")
    return stream.getvalue()


def _from_array(value: Any) -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise invalid("image", "an array needs the package Pillow", allowed="pip install Pillow, or a file") from None
    try:
        squeezed = value[..., 0] if value.ndim == 3 and value.shape[-1] == 1 else value
        return Image.fromarray(squeezed)
    except (TypeError, ValueError) as error:
        shape = f"an array of {value.dtype} and shape {list(value.shape)}"
        raise invalid("image", f"not an image: {error}", shape, "UINT8 (height, width[, 3 or 4])") from None


def _is_image(file: Path) -> bool:
    try:
        with file.open("rb") as stream:
            head = stream.read(12)
    except OSError:
        return False
    return head.startswith(_MAGIC) or (head[:4] == b"RIFF" and head[8:] == b"WEBP")


def _labelled_folders(folder: Path, labels: Sequence[str]) -> Iterator[Path]:
    """Folders of images lie at most three deep: data/train/7."""
    names = frozenset(labels)
    found = (path for pattern in ("*/", "*/*/", "*/*/*/") for path in folder.glob(pattern))
    try:
        yield from (path for path in islice(found, _SEARCHED_FOLDERS) if path.name in names)
    except OSError:
        return


IMAGE = ImageInput()
