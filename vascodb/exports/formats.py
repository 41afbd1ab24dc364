"""How the seeds write numbers, tables and ledgers."""

import csv
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["degrees", "flag", "six_digits", "write_json", "write_table"]


def degrees(value: float, decimals: int | None, *, published: bool = False) -> str:
    """An angle, with so many decimals; or with as many as it takes, 10 at most, as the seeds' first files have it.

    Parameters
    ----------
    value : float
        Degrees. A right ascension that would round to 360 becomes 0.
    decimals : int or None
        How many; None for as many as it takes.
    published : bool
        Whether a release has the number: then it is as it was there, where some have more.
    """
    if decimals is not None:
        text = f"{value:.{decimals}f}"
    else:
        text = np.format_float_positional(value if published else round(value, 10), trim="0")
    whole, point, rest = text.partition(".")
    return f"0{point}{rest}" if whole == "360" else text


def six_digits(value: float | None) -> str:
    """A measurement with six significant digits; nothing where there is none."""
    return "" if value is None or math.isnan(value) else f"{value:.6g}"


def flag(is_set: bool | None) -> str:
    """1 or 0; nothing where nobody can tell."""
    return "" if is_set is None else str(int(is_set))


def write_table(path: Path, columns: Sequence[str], rows: Iterable[Sequence[Any]], line_end: str = "\r\n") -> int:
    """Write a CSV file, and return its number of rows."""
    n_rows = 0
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator=line_end)
        writer.writerow(columns)
        for n_rows, row in enumerate(rows, start=1):  # noqa: B007
            writer.writerow(row)
    return n_rows


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a ledger, indented by two and without an end of line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content, indent=2), encoding="utf-8")
