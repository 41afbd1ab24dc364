"""Sky areas as sets of HEALPix cells of order 29, and positions as such cells."""

import astropy.units as u
import numpy as np
from astropy.coordinates import Latitude, Longitude
from cdshealpix.nested import lonlat_to_healpix
from mocpy import MOC
from numpy.typing import NDArray

__all__ = ["ORDER", "cells", "multirange", "polygon"]

ORDER = 29


def cells(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64]) -> NDArray[np.int64]:
    """HEALPix cell of order 29 (nested) of each position.

    Parameters
    ----------
    ra_deg, dec_deg : ndarray of float64, shape (n,)
        ICRS positions in degrees.
    """
    if len(ra_deg) == 0:
        return np.empty(0, dtype=np.int64)
    index = lonlat_to_healpix(Longitude(ra_deg, u.deg), Latitude(dec_deg, u.deg), depth=ORDER)
    return np.asarray(index, dtype=np.int64)


def polygon(ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], order: int = 14) -> MOC:
    """The sky inside a polygon of great circles, including every cell it touches.

    Parameters
    ----------
    ra_deg, dec_deg : ndarray of float64, shape (n,)
        Corners in degrees, in order.
    order : int, optional
        HEALPix order of the smallest cells; 14 is 13 arcsec.
    """
    return MOC.from_polygon(Longitude(ra_deg, u.deg), Latitude(dec_deg, u.deg), max_depth=order)


def multirange(moc: MOC) -> str:
    """A MOC as the text of a PostgreSQL ``int8multirange`` of half-open cell ranges."""
    ranges = np.asarray(moc.to_depth29_ranges, dtype=np.int64).reshape(-1, 2)
    return "{" + ",".join(f"[{low},{high})" for low, high in ranges.tolist()) + "}"
