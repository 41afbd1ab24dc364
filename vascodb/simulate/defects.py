"""Flaws of the plate and trails across it: what is on the glass and was never in the sky."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vascodb.simulate.emulsion import FlawPixels

__all__ = ["DEFECT_KINDS", "LONGEST_HALF_PX", "Defects", "draw_defects", "draw_trails"]

Floats = NDArray[np.float64]

DEFECT_KINDS = ("scratch", "dust", "hair", "hot_spot")
# No scratch, hair or grain reaches farther from its middle; trails do.
LONGEST_HALF_PX = 60.0
_POINTS_PER_PX = 3


@dataclass(frozen=True)
class Defects:
    """Defects: where they are, and the pixels they change.

    Parameters
    ----------
    kind : ndarray of str, shape (n,)
        One of `DEFECT_KINDS`, or ``trail``.
    x, y : ndarray, shape (n,)
        Middle, FITS pixels.
    extent_px : ndarray, shape (n,)
        Greatest distance of their pixels from the middle.
    pixels : FlawPixels
        The changes, of all defects together.
    """

    kind: NDArray[np.str_]
    x: Floats
    y: Floats
    extent_px: Floats
    pixels: FlawPixels


def draw_defects(x: Floats, y: Floats, shape: tuple[int, int], rng: np.random.Generator) -> Defects:
    """One defect at each position, of the four kinds in turn.

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Middles, FITS pixels.
    shape : tuple of 2 int
        Rows and columns of the image.
    rng : numpy.random.Generator
        Draws sizes, directions and densities.
    """
    draw: dict[str, Callable[[np.random.Generator], tuple[Floats, Floats, Floats]]] = {
        "scratch": _scratch, "dust": _dust, "hair": _hair, "hot_spot": _hot_spot,
    }  # fmt: skip
    kinds = [DEFECT_KINDS[i % len(DEFECT_KINDS)] for i in range(len(x))]
    return _assemble(kinds, x, y, [draw[kind](rng) for kind in kinds], shape)


def draw_trails(n: int, shape: tuple[int, int], rng: np.random.Generator) -> Defects:
    """Straight trails across the whole image, as of a meteor or an aircraft."""
    n_y, n_x = shape
    x = rng.uniform(0.3, 0.7, n) * n_x
    y = rng.uniform(0.3, 0.7, n) * n_y
    marks = [_line(2.0 * max(shape), rng.uniform(0, np.pi), 0.0, 1.3, rng.uniform(1500, 4000)) for _ in range(n)]
    return _assemble(["trail"] * n, x, y, marks, shape)


def _assemble(
    kinds: list[str], x: Floats, y: Floats, marks: list[tuple[Floats, Floats, Floats]], shape: tuple[int, int]
) -> Defects:
    rows: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    columns: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
    densities: list[Floats] = [np.zeros(0)]
    extent = np.zeros(len(x))
    for i, (dx, dy, density) in enumerate(marks):
        extent[i] = np.hypot(dx, dy).max()
        row, column = np.rint(y[i] + dy).astype(np.int64) - 1, np.rint(x[i] + dx).astype(np.int64) - 1
        inside = (row >= 0) & (row < shape[0]) & (column >= 0) & (column < shape[1])
        # Points of one mark that fall on one pixel count once: the densest of them.
        order = np.lexsort((-density, column, row))
        order = order[inside[order]]
        first = np.ones(len(order), np.bool_)
        first[1:] = (np.diff(row[order]) != 0) | (np.diff(column[order]) != 0)
        kept = order[first]
        rows.append(row[kept])
        columns.append(column[kept])
        densities.append(density[kept])
    pixels = FlawPixels.sorted_by_row(np.concatenate(rows), np.concatenate(columns), np.concatenate(densities))
    return Defects(np.array(kinds, dtype="U16"), x, y, extent, pixels)


def _line(length: float, angle: float, bend: float, sigma: float, density: float) -> tuple[Floats, Floats, Floats]:
    """Offsets and density of a line; ``bend`` is the height of its arc in units of its length."""
    along = np.linspace(-0.5, 0.5, max(2, int(length * _POINTS_PER_PX)))
    across = np.arange(-6, 7) / _POINTS_PER_PX * max(sigma, 0.5)
    u = (along * length)[:, None] + np.zeros(len(across))
    v = (bend * length * (1 - 4 * along**2))[:, None] + across
    weight = np.zeros(len(along))[:, None] + np.exp(-0.5 * (across / sigma) ** 2)
    dx, dy = u * np.cos(angle) - v * np.sin(angle), u * np.sin(angle) + v * np.cos(angle)
    return dx.ravel(), dy.ravel(), density * weight.ravel()


def _scratch(rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    return _line(rng.uniform(15, 90), rng.uniform(0, np.pi), 0.0, 0.5, rng.uniform(2500, 7000))


def _hair(rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    return _line(rng.uniform(40, 110), rng.uniform(0, 2 * np.pi), rng.uniform(0.08, 0.25), 0.8, rng.uniform(2000, 5000))


def _dust(rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """An irregular grain with sharp edges: a few overlapping ellipses of even density."""
    offsets = np.arange(-9, 10)
    dx, dy = np.meshgrid(offsets, offsets)
    covered = np.zeros(dx.shape, np.bool_)
    for _ in range(3):
        cx, cy = rng.uniform(-2, 2, 2)
        a, b, angle = rng.uniform(1.5, 4.5), rng.uniform(0.8, 2.5), rng.uniform(0, np.pi)
        u = (dx - cx) * np.cos(angle) + (dy - cy) * np.sin(angle)
        v = -(dx - cx) * np.sin(angle) + (dy - cy) * np.cos(angle)
        covered |= (u / a) ** 2 + (v / b) ** 2 <= 1
    covered[9, 9] = True
    density = np.full(int(covered.sum()), rng.uniform(2500, 9000))
    return dx[covered].astype(np.float64), dy[covered].astype(np.float64), density


def _hot_spot(rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Two or three pixels: sharper than any star that came through the telescope, and dense enough to be detected."""
    n = int(rng.integers(2, 4))
    dx, dy = np.array([0.0, 1.0, 0.0])[:n], np.array([0.0, 0.0, 1.0])[:n]
    return dx, dy, np.full(n, rng.uniform(7000, 10000))
