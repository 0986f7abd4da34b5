"""Pictures in a terminal: each protocol's text is decoded again and compared with the picture."""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from io import BytesIO

import pytest
from PIL import Image

from flambeau.repl import images
from flambeau.repl.terminal import Extent

from .conftest import Open

RED, BLUE, CLEAR = (255, 0, 0, 255), (0, 0, 255, 255), (0, 0, 0, 0)


def flag(size: tuple[int, int] = (60, 40)) -> Image.Image:
    """The left half red, the right half blue."""
    picture = Image.new("RGBA", size, RED)
    picture.paste(BLUE, (size[0] // 2, 0, size[0], size[1]))
    return picture


def encoded(picture: Image.Image) -> str:
    buffer = BytesIO()
    picture.save(buffer, "PNG")
    return b64encode(buffer.getvalue()).decode()


def decoded_sixel(text: str) -> dict[tuple[int, int], tuple[int, ...]]:
    """Colours (in per cent) by column and row."""
    body = text[text.index('"') : text.index("\x1b\\")]
    body = body[re.match(r'"[\d;]+', body).end() :]  # type: ignore[union-attr]
    palette: dict[int, tuple[int, ...]] = {}
    pixels = {}
    x = top = colour = 0
    for token in re.findall(r"#\d+(?:;\d+)*|!\d+.|[?-~]|\$|-", body):
        if token[0] == "#":
            colour, *given = map(int, token[1:].split(";"))
            if given:
                palette[colour] = tuple(given[1:])
        elif token == "$":
            x = 0
        elif token == "-":
            x, top = 0, top + 6
        else:
            count = int(token[1:-1]) if token[0] == "!" else 1
            lit = [bit for bit in range(6) if (ord(token[-1]) - 63) >> bit & 1]
            pixels.update(
                {(x + k, top + bit): palette[colour] for k in range(count) for bit in lit}
            )
            x += count
    return pixels


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"TERM": "foot"}, "sixel"),
        ({"TERM": "xterm-256color"}, "blocks"),
        ({"TERM": "tmux-256color", "KITTY_WINDOW_ID": "1"}, "blocks"),
        ({"TERM": "xterm-kitty", "FLAMBEAU_IMAGES": "none"}, "none"),
    ],
)
def test_the_terminal_decides_how_pictures_come(
    environment: dict[str, str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("TERM", "TERM_PROGRAM", "KITTY_WINDOW_ID", "FLAMBEAU_IMAGES"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert images.protocol() == expected


def test_kitty_gets_the_picture_in_chunks() -> None:
    noisy = Image.effect_noise((90, 90), 80).convert("RGBA")
    text = images.show(encoded(noisy), "kitty")
    parts = re.findall(r"\x1b_G([^;]*);([^\x1b]*)\x1b\\", text)
    assert len(parts) > 1
    assert all(len(data) <= images.CHUNK for _, data in parts)
    assert [head[-3:] for head, _ in parts] == ["m=1"] * (len(parts) - 1) + ["m=0"]
    with Image.open(BytesIO(b64decode("".join(data for _, data in parts)))) as again:
        assert again.tobytes() == noisy.tobytes()


def test_iterm2_gets_the_picture_and_its_size_in_characters() -> None:
    text = images.show(encoded(flag()), "iterm2")
    head, data = re.search(r"\x1b\]1337;File=([^:]*):([^\x07]*)\x07", text).groups()  # type: ignore[union-attr]
    assert head == "inline=1;width=6;height=2"
    with Image.open(BytesIO(b64decode(data))) as again:
        assert again.tobytes() == flag().tobytes()


def test_sixels_have_the_colours_of_the_picture() -> None:
    pixels = decoded_sixel(images.show(encoded(flag()), "sixel"))
    assert len(pixels) == 60 * 40
    assert {pixels[x, y] for x in range(30) for y in range(40)} == {(100, 0, 0)}
    assert {pixels[x, y] for x in range(30, 60) for y in range(40)} == {(0, 0, 100)}


def test_half_blocks_have_two_pixels_a_character(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLORTERM", "truecolor")
    picture = Image.new("RGBA", (10, 20), RED)
    assert images.show(encoded(picture), "blocks") == "\x1b[38;2;255;0;0;48;2;255;0;0m▀\x1b[0m"
    picture.paste(CLEAR, (0, 0, 10, 10))
    shown = images.show(encoded(picture), "blocks")
    assert "▄" in shown
    assert "49m" in shown


@pytest.mark.parametrize("how", ["kitty", "iterm2", "sixel"])
def test_a_picture_takes_its_rows_and_no_more_than_the_screen(how: str) -> None:
    extent = Extent()
    extent.feed(images.show(encoded(flag((60, 100))), how))
    assert (extent.rows, extent.column) == (5, 0)
    assert len(images.show(encoded(Image.effect_noise((2000, 3000), 90)), how)) < images.LIMIT + 999


def test_colours_of_256_are_the_nearest() -> None:
    assert images._of_256(255, 0, 0) == 196
    assert images._of_256(0, 0, 0) == 16
    assert images._of_256(128, 128, 128) == 244


def test_a_plot_shows_at_the_prompt(terminal: Open) -> None:
    repl = terminal()
    repl.run(1, "from PIL import Image", "In [2]:")
    repl.run(2, "display(Image.new('RGB', (100, 60), 'red'))", "▀▀▀▀▀▀▀▀▀▀")
    assert repl.colours("▀▀▀▀") == {"ff0000"}


def test_markdown_is_set(terminal: Open) -> None:
    repl = terminal()
    repl.run(1, "from IPython.display import Markdown")
    repl.run(2, r"Markdown('some **bold** text\n\n| a | b |\n|---|---|\n| 1 | 2 |')", "some bold")
    assert "**" not in repl.text.split("Out[2]")[1]
