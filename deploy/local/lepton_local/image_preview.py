"""A small image as text, for terminals."""

from pathlib import Path

from PIL import Image

# From dark to light. Two characters for each pixel make the image about square.
SHADES = " ·:-=+*#%@"
LARGEST = 32


def draw(image: Path) -> str:
    with Image.open(image) as opened:
        gray = opened.convert("L")
        gray.thumbnail((LARGEST, LARGEST))
        width, height = gray.size
        levels = gray.tobytes()
    rows = (levels[start : start + width] for start in range(0, width * height, width))
    return "\n".join("  " + "".join(SHADES[level * (len(SHADES) - 1) // 255] * 2 for level in row) for row in rows)
