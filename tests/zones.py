"""Matching by zones and haversines: an oracle that shares nothing with the database's search.

Sources are sorted into zones of declination and by right ascension within each (Gray, Nieto-Santisteban & Szalay,
"The Zones Algorithm for Finding Points-Near-a-Point or Cross-Matching Spatial Datasets", MSR-TR-2006-52). All pairs
that a zone's window of right ascension holds are measured by the haversine formula.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
_PAIRS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Nearest:
    """What is within a radius of each detection: nearest source (0 where there is none), separation, how many."""

    source_id: Indices
    sep_arcsec: Floats
    n_within: Indices


def haversine_arcsec(ra1: Floats, dec1: Floats, ra2: Floats, dec2: Floats) -> Floats:
    """Separation of positions in degrees."""
    ra1, dec1, ra2, dec2 = (np.radians(x) for x in (ra1, dec1, ra2, dec2))
    h = np.sin((dec2 - dec1) / 2) ** 2 + np.cos(dec1) * np.cos(dec2) * np.sin((ra2 - ra1) / 2) ** 2
    separation: Floats = np.degrees(2 * np.arcsin(np.minimum(1, np.sqrt(h)))) * 3600
    return separation


def nearest(pairs: Iterator[tuple[Indices, Indices, Floats]], source_id: Indices, n_detections: int) -> Nearest:
    """The nearest of each detection's sources, of equals the one with the smaller id, from pairs within the radius."""
    detection, source, sep = (np.concatenate(parts) for parts in zip(*pairs, strict=True))
    order = np.lexsort((source_id[source], sep, detection))
    detection, source, sep = detection[order], source[order], sep[order]
    first = np.flatnonzero(np.diff(detection, prepend=-1))
    found = Nearest(
        np.zeros(n_detections, np.int64),
        np.full(n_detections, np.nan),
        np.bincount(detection, minlength=n_detections).astype(np.int64),
    )
    found.source_id[detection[first]] = source_id[source[first]]
    found.sep_arcsec[detection[first]] = sep[first]
    return found


def pairs_within(
    ra: Floats, dec: Floats, source_ra: Floats, source_dec: Floats, radius_arcsec: float
) -> Iterator[tuple[Indices, Indices, Floats]]:
    """Detection, source and separation of all pairs within a radius, in parts; positions in degrees."""
    radius = radius_arcsec / 3600
    height = max(radius, 10 / 3600)
    zone = np.floor((source_dec + 90) / height).astype(np.int64)
    order = np.lexsort((source_ra, zone))
    # One key that grows with zone and right ascension: a window is two searches in it.
    key = (zone * 1000.0 + source_ra)[order]
    lowest, highest = (np.floor((dec + 90 + side * radius) / height).astype(np.int64) for side in (-1, 1))
    for offset in range(int((highest - lowest).max(initial=0)) + 1):
        for detections, low, high in _windows(ra, dec, radius):
            here = detections[lowest[detections] + offset <= highest[detections]]
            base = (lowest[here] + offset) * 1000.0
            begin = np.searchsorted(key, base + low[here], side="left")
            count = np.maximum(np.searchsorted(key, base + high[here], side="right") - begin, 0)
            for part in _parts(count):
                detection = np.repeat(here[part], count[part])
                within = np.arange(len(detection)) - np.repeat(np.cumsum(count[part]) - count[part], count[part])
                source = order[np.repeat(begin[part], count[part]) + within]
                sep = haversine_arcsec(ra[detection], dec[detection], source_ra[source], source_dec[source])
                near = sep <= radius_arcsec
                yield detection[near], source[near], sep[near]


def _windows(ra: Floats, dec: Floats, radius: float) -> Iterator[tuple[Indices, Floats, Floats]]:
    """Detections, and the windows of right ascension of their circles, a hair wider; in parts that do not overlap."""
    sine = np.sin(np.radians(radius)) / np.maximum(np.cos(np.radians(dec)), 1e-300)
    holds_pole = (np.abs(dec) + radius >= 90) | (sine >= 1)
    width = np.degrees(np.arcsin(np.minimum(sine, 1))) + 1e-6
    yield np.flatnonzero(holds_pole), np.full(len(ra), -1.0), np.full(len(ra), 361.0)
    # Over right ascension 0 a window goes on at the other end.
    for turn in (-360.0, 0.0, 360.0):
        low, high = ra - width + turn, ra + width + turn
        yield np.flatnonzero(~holds_pole & (high >= 0) & (low <= 360)), low, high


def _parts(counts: Indices) -> Iterator[slice]:
    """Slices of detections with a bounded number of pairs each."""
    total, begin = np.cumsum(counts), 0
    while begin < len(counts):
        done = total[begin - 1] if begin else 0
        end = max(begin + 1, int(np.searchsorted(total, done + _PAIRS_AT_ONCE, side="right")))
        yield slice(begin, end)
        begin = end
