"""Damage FITS files byte by byte, as a library that writes valid files cannot."""

import numpy as np

BLOCK = 2880
CARD = 80


def header_size(content: bytes) -> int:
    """Bytes of the primary header, with its filling."""
    end = next(n for n in range(0, len(content), CARD) if content[n : n + CARD].rstrip() == b"END")
    return -(-(end + CARD) // BLOCK) * BLOCK


def with_card(content: bytes, key: str, value: str) -> bytes:
    """Replace the value of a card by raw text."""
    return renamed(content, key, key, value)


def renamed(content: bytes, key: str, new_key: str, value: str) -> bytes:
    """Replace a card by another key with a value as raw text."""
    place = _place(content, key)
    card = f"{new_key:<8}= {value:>20}".ljust(CARD).encode("ascii")
    assert len(card) == CARD
    return content[:place] + card + content[place + CARD :]


def without_cards(content: bytes, *prefixes: str) -> bytes:
    """Leave out all cards whose keys begin so; the header keeps its length."""
    size = header_size(content)
    cards = [content[n : n + CARD] for n in range(0, size, CARD)]
    cards = cards[: next(n for n, card in enumerate(cards) if card.rstrip() == b"END")]
    kept = [card for card in cards if not card.startswith(tuple(p.encode() for p in prefixes))]
    assert len(kept) < len(cards)
    return b"".join(kept).ljust(size - CARD) + b"END".ljust(CARD) + content[size:]


def with_pixels(content: bytes, pixels: np.ndarray) -> bytes:
    """Replace the image; its size and type go into the header."""
    bitpix = {"i2": 16, "f4": -32, "i4": 32, "u1": 8}[pixels.dtype.str[1:]]
    content = with_card(content, "BITPIX", str(bitpix))
    for axis, n in enumerate(reversed(pixels.shape), start=1):
        content = with_card(content, f"NAXIS{axis}", str(n))
    data = pixels.astype(pixels.dtype.newbyteorder(">")).tobytes()
    return content[: header_size(content)] + data.ljust(-(-len(data) // BLOCK) * BLOCK, b"\0")


def pixels_of(content: bytes, shape: tuple[int, int]) -> np.ndarray:
    """The 16-bit image."""
    start = header_size(content)
    return np.frombuffer(content, ">i2", shape[0] * shape[1], start).reshape(shape).astype("i2")


def _place(content: bytes, key: str) -> int:
    name = f"{key:<8}=".encode()
    return next(n for n in range(0, header_size(content), CARD) if content[n : n + CARD].startswith(name))
