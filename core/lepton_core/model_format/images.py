"""Image files to pixels, the same for training and serving. Pillow comes with the `tensors` extra.

Values of more than 8 bits are scaled to 0–255 by the range that the file's own values need:

| values of the file | become |
|---|---|
| whole numbers, none above 255 | themselves |
| whole numbers, none above 65535 | divided by 256, rounded down |
| floating point, 0 to 1 | times 255, rounded |
| floating point, 0 to 255 | rounded |
| floating point, 0 to 65535 | divided by 256, rounded down |
| anything else: negative, larger, NaN | refused |
"""

import io
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from lepton_core.errors import ErrorCode, LeptonError

FORMATS = ("PNG", "JPEG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
MAX_IMAGE_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 50_000_000
MAX_VALUE = 65535
_GRAY_MODES = frozenset({"1", "L", "LA", "I", "I;16", "I;16B", "I;16L", "F"})

# In steps of the 256: what has more range in the file and not more in the pixels has lost what it shows.
_LEAST_RANGE = 2

Pixels = NDArray[np.uint8]


class ImageError(LeptonError):
    """The bytes are no image we read, or one that is too large."""

    def __init__(self, reason: str) -> None:
        super().__init__(ErrorCode.INVALID, reason)
        self.reason = reason


def pixel_count(data: bytes) -> int:
    """Height times width, from the file's header alone."""
    with _opened(data) as image:
        return image.height * image.width


def image_shape(data: bytes) -> tuple[int, int, int]:
    """(height, width, channels) from the file's header alone; channels is 1 for gray and 3 for colour."""
    with _opened(data) as image:
        # EXIF may turn a photograph by 90 degrees: the shape should be that of the decoded image. Asking a PNG for it
        # would decode the whole image, and cameras write no PNG.
        try:
            turned = image.format == "JPEG" and image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
        except Exception as error:  # noqa: BLE001 - damaged EXIF data raise all kinds of errors
            raise ImageError(f"the image is damaged: {error}") from None
        width, height = (image.height, image.width) if turned else (image.width, image.height)
        return height, width, 1 if image.mode in _GRAY_MODES else 3


def decode_image(data: bytes, height: int, width: int, channels: int) -> Pixels:
    """(height, width, channels) UINT8, resized with an antialiased bilinear filter when the image has another size."""
    return decode_with_note(data, height, width, channels)[0]


def decode_with_note(data: bytes, height: int, width: int, channels: int) -> tuple[Pixels, str]:
    """As decode_image, with a note when scaling to 8 bits left next to nothing of what the image shows; else ""."""
    with _opened(data) as opened:
        try:
            opened.load()
            image: Image.Image = ImageOps.exif_transpose(opened)
        except Exception as error:  # noqa: BLE001 - Pillow's decoders raise whatever the damage makes them raise
            raise ImageError(f"the image is damaged: {error}") from None
        image, note = _eight_bit(image)
        return _fit(image, height, width, channels), note


def resize_pixels(pixels: Pixels, height: int, width: int, channels: int) -> Pixels:
    """Pixels that came as an array, (height, width) or (height, width, channels), to the shape asked for."""
    squeezed = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[-1] == 1 else pixels
    return _fit(Image.fromarray(squeezed), height, width, channels)


def _opened(data: bytes) -> Image.Image:
    if len(data) > MAX_IMAGE_BYTES:
        raise ImageError(f"the image has {len(data)} bytes; at most {MAX_IMAGE_BYTES} are allowed")
    try:
        with warnings.catch_warnings():
            # Our own bound on pixels follows; Pillow's would only warn.
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)
            image = Image.open(io.BytesIO(data), formats=FORMATS)
    except UnidentifiedImageError:
        raise ImageError(f"not an image (readable formats: {', '.join(FORMATS)})") from None
    except Exception as error:  # noqa: BLE001 - headers are parsed here, and damaged ones raise all kinds of errors
        raise ImageError(f"not a readable image: {error}") from None
    if image.width * image.height > MAX_PIXELS:
        raise ImageError(f"the image has {image.width} × {image.height} pixels; at most {MAX_PIXELS} are allowed")
    return image


def _eight_bit(image: Image.Image) -> tuple[Image.Image, str]:
    # Pillow's own conversion to "L" cuts everything above 255 instead of scaling it.
    if not image.mode.startswith("I") and image.mode != "F":
        return image, ""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    # Not `low < 0 or …`: comparisons with NaN are false.
    if not (low >= 0 and high <= MAX_VALUE):
        raise ImageError(f"its values go from {low:g} to {high:g}; allowed: 0 to {MAX_VALUE}")
    pixels = _scaled(values, high)
    found = int(pixels.max()) - int(pixels.min())
    if found > _LEAST_RANGE or not high - low > (0 if image.mode == "F" else _LEAST_RANGE):
        return Image.fromarray(pixels), ""
    note = f"its values {low:g} to {high:g} become {pixels.min()} to {pixels.max()} of 255: nearly one shade"
    return Image.fromarray(pixels), note


def _scaled(values: NDArray[Any], high: Any) -> Pixels:
    if high > 255:
        scaled: NDArray[Any] = values.astype(np.int64) >> 8
    elif values.dtype.kind == "f":
        scaled = np.rint(values.astype(np.float64) * (255 if high <= 1 else 1))
    else:
        scaled = values
    return scaled.astype(np.uint8)


def _fit(image: Image.Image, height: int, width: int, channels: int) -> Pixels:
    if "A" in image.getbands() or "transparency" in image.info:
        # What is transparent shows the white of a page, not whatever colour lies hidden there.
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    mode = "L" if channels == 1 else "RGB"
    if image.mode != mode:
        image = image.convert(mode)
    if image.size != (width, height):
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    array: NDArray[Any] = np.asarray(image, np.uint8)
    return array.reshape(height, width, channels)
