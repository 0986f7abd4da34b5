"""Pictures in a terminal: kitty's, iTerm2's or sixel graphics, else half-block characters.

Sources: kitty's graphics protocol, section "Remote client"; iTerm2's inline images, OSC 1337;
DEC's sixel graphics (VT330/VT340 programmer reference, chapter 14).
"""

from __future__ import annotations

import os
import shutil
from base64 import b64decode, b64encode
from io import BytesIO
from itertools import groupby
from math import ceil
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

CELL = 10, 20
"""Pixels of one character where the terminal does not say; the usual shape is one to two."""

PROTOCOLS = ("kitty", "iterm2", "sixel", "blocks", "none")

LIMIT = 150_000  # characters of an encoded picture, below what a screen cuts out of one flush
CHUNK = 4096  # bytes of base64 in one of kitty's sequences, by its specification
SIXEL_COLOURS = 255

_KITTY = {"xterm-kitty", "xterm-ghostty"}
_SIXEL = {"foot", "foot-extra", "mlterm", "contour", "yaft-256color"}


def protocol() -> str:
    """The best way that this terminal shows pictures, one of PROTOCOLS.

    $FLAMBEAU_IMAGES decides if it is set. Inside tmux and screen, which pass no graphics on, it is
    blocks.
    """
    chosen = os.environ.get("FLAMBEAU_IMAGES", "")
    if chosen in PROTOCOLS:
        return chosen
    term, program = os.environ.get("TERM", ""), os.environ.get("TERM_PROGRAM", "")
    if term.startswith(("tmux", "screen")) or program == "tmux":
        return "blocks"
    if term in _KITTY or program == "ghostty" or "KITTY_WINDOW_ID" in os.environ:
        return "kitty"
    if program in ("iTerm.app", "WezTerm"):
        return "iterm2"
    return "sixel" if term in _SIXEL else "blocks"


def show(encoded: str, how: str) -> str:
    """Text that draws the picture `encoded` (base64 of a PNG, JPEG or GIF) and ends below it.

    Raises: OSError for data that is no picture, ImportError without Pillow.
    """
    from PIL import Image

    with Image.open(BytesIO(b64decode(encoded))) as opened:
        picture = opened.convert("RGBA")
    columns, rows = _cells(*picture.size)
    if how == "blocks":
        return _blocks(picture.resize((columns, 2 * rows), Image.Resampling.LANCZOS))
    draw = {"kitty": _kitty, "iterm2": _iterm2, "sixel": _sixel}[how]
    size = min(1.0, columns * CELL[0] / picture.width, rows * CELL[1] / picture.height)
    text = draw(_scaled(picture, size), columns, rows)
    while len(text) > LIMIT:
        size *= 0.8
        text = draw(_scaled(picture, size), columns, rows)
    # Room first, so that the screen does not scroll away under a picture at its bottom.
    return "\n" * rows + f"\x1b[{rows}A\x1b7{text}\x1b8\x1b[{rows}B"


def _cells(width: int, height: int) -> tuple[int, int]:
    """Columns and rows that a picture of so many pixels takes; at most what the screen has."""
    columns, lines = shutil.get_terminal_size()
    scale = min(1.0, (columns - 1) * CELL[0] / width, max(4, lines - 4) * CELL[1] / height)
    return ceil(width * scale / CELL[0]), ceil(height * scale / CELL[1])


def _scaled(picture: Image, factor: float) -> Image:
    from PIL.Image import Resampling

    if factor == 1:
        return picture
    size = max(1, round(picture.width * factor)), max(1, round(picture.height * factor))
    return picture.resize(size, Resampling.LANCZOS)


def _png(picture: Image) -> str:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return b64encode(buffer.getvalue()).decode()


def _kitty(picture: Image, columns: int, rows: int) -> str:
    data = _png(picture)
    chunks = [data[k : k + CHUNK] for k in range(0, len(data), CHUNK)]
    parts = []
    for k, chunk in enumerate(chunks):
        more = int(k < len(chunks) - 1)
        head = f"a=T,f=100,q=2,C=1,c={columns},r={rows},m={more}" if k == 0 else f"m={more}"
        parts.append(f"\x1b_G{head};{chunk}\x1b\\")
    return "".join(parts)


def _iterm2(picture: Image, columns: int, rows: int) -> str:
    return f"\x1b]1337;File=inline=1;width={columns};height={rows}:{_png(picture)}\x07"


def _sixel(picture: Image, columns: int, rows: int) -> str:
    """Bands of six rows; in each, one pass per colour, runs of equal columns counted."""
    from PIL.Image import Quantize, alpha_composite
    from PIL.Image import new as new_picture

    paper = new_picture("RGBA", picture.size, (255, 255, 255, 255))
    flat = alpha_composite(paper, picture).convert("RGB")
    reduced = flat.quantize(SIXEL_COLOURS, Quantize.FASTOCTREE)
    palette = reduced.getpalette() or []
    width, height = reduced.size
    pixels = reduced.tobytes()
    parts = [f'\x1bP0;1q"1;1;{width};{height}']
    for k in range(len(palette) // 3):
        red, green, blue = (round(v * 100 / 255) for v in palette[3 * k : 3 * k + 3])
        parts.append(f"#{k};2;{red};{green};{blue}")
    for top in range(0, height, 6):
        band = [pixels[y * width : (y + 1) * width] for y in range(top, min(top + 6, height))]
        passes = [_sixel_pass(band, colour) for colour in sorted(set(b"".join(band)))]
        parts.append("$".join(passes) + "-")
    return "".join(parts) + "\x1b\\"


def _sixel_pass(band: list[bytes], colour: int) -> str:
    columns = zip(*[[value == colour for value in row] for row in band], strict=True)
    masks = [sum(1 << k for k, lit in enumerate(column) if lit) for column in columns]
    runs = []
    for mask, group in groupby(masks):
        count, sign = len(list(group)), chr(63 + mask)
        runs.append(f"!{count}{sign}" if count > 3 else sign * count)
    return f"#{colour}" + "".join(runs)


def _blocks(picture: Image) -> str:
    """Two pixels a character: the upper half block in one colour on the other."""
    exact = os.environ.get("COLORTERM") in ("truecolor", "24bit")
    width, height = picture.size
    pixels = picture.tobytes()

    def colour(x: int, y: int, layer: int) -> str:
        red, green, blue, alpha = pixels[4 * (y * width + x) : 4 * (y * width + x) + 4]
        if alpha < 128:
            return f"{layer + 1}"  # 39 and 49: the terminal's own
        if exact:
            return f"{layer};2;{red};{green};{blue}"
        return f"{layer};5;{_of_256(red, green, blue)}"

    rows = []
    for y in range(0, height, 2):
        cells, last = [], ""
        for x in range(width):
            style = colour(x, y, 38) + ";" + colour(x, y + 1, 48)
            if style.startswith("39;"):  # a transparent upper half shows the lower in its colour
                style = colour(x, y + 1, 38) + ";49"
                sign = " " if style.startswith("39;") else "▄"
            else:
                sign = "▀"
            cells.append(sign if style == last else f"\x1b[{style}m{sign}")
            last = style
        rows.append("".join(cells) + "\x1b[0m")
    return "\n".join(rows)


def _of_256(red: int, green: int, blue: int) -> int:
    """The nearest of xterm's 6 x 6 x 6 colours or 24 greys."""
    if max(red, green, blue) - min(red, green, blue) < 12:
        grey = (red + green + blue) // 3
        return 16 if grey < 4 else 231 if grey > 246 else 232 + min(23, (grey - 3) // 10)
    levels = (0, 95, 135, 175, 215, 255)

    def nearest(value: int) -> int:
        return min(range(6), key=lambda k: abs(levels[k] - value))

    return 16 + 36 * nearest(red) + 6 * nearest(green) + nearest(blue)
