"""A published release's tables, and what its printed numbers can tell."""

import csv
import gzip
import io
import math
from pathlib import Path

__all__ = ["read_release", "roundings"]


def read_release(shared_data: Path, name: str) -> list[dict[str, str]]:
    """Rows of a table of the release, as text."""
    content = gzip.decompress((shared_data / "vasco60_release_v1" / f"{name}.csv.gz").read_bytes()).decode()
    return list(csv.DictReader(io.StringIO(content)))


def roundings(printed: str, decimals: int) -> set[str]:
    """What the number behind six printed digits may have been rounded to."""
    number = float(printed)
    half_digit = 0.5 * 10 ** (math.floor(math.log10(abs(number))) - 5)
    return {f"{number + shift:.{decimals}f}" for shift in (-half_digit, 0.0, half_digit)}
