"""The witness in the header itself: the hour angle at which the exposure began.

Sidereal time gains 3.94 minutes a day, so the hour angle tells which of several days a time of day belongs to.
"""

from datetime import datetime

import erfa
import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DAY_MINUTES",
    "ZERO_POINT_MINUTES",
    "hour_angle_residuals",
    "ra_of_date",
    "residual_at",
    "sidereal_hours",
]

# Longitude of Palomar, from the headers' SITELONG, which counts west.
_LONGITUDE_DEG = -116.863
# What sidereal time gains in a day of 24 hours, and so by how much the residuals of two days differ.
_SIDEREAL_RATE = 1.00273790935
DAY_MINUTES = 1440.0 * (_SIDEREAL_RATE - 1.0)
# Median of the residuals of 932 headers, measured; docs/plate-times.md shows what is left of it.
ZERO_POINT_MINUTES = -0.49

_J2000_JD = 2451545.0
_UNIX_JD = 2440587.5
# 29 to 32 s in the 1950s; only precession takes it.
_TT_LESS_UT1_DAYS = 31.0 / 86400.0


def hour_angle_residuals(
    starts: list[list[datetime]], ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], obsha: NDArray[np.float64]
) -> list[NDArray[np.float64]]:
    """Hour angle east that each moment gives the middle of a plate, less that of its header.

    Parameters
    ----------
    starts : list of n lists of `~datetime.datetime`
        The moments that each plate's header can mean, UTC; any number of each.
    ra_deg, dec_deg : ndarray of float64, shape (n,)
        Middle of each plate, J2000.
    obsha : ndarray of float64, shape (n,)
        Header ``OBSHA``: right ascension less sidereal time, hours; NaN where there is none.

    Returns
    -------
    list of n ndarrays of float64
        Minutes of sidereal time, in [−720, 720), with the zero point taken off; NaN where there is no ``OBSHA``.

    Notes
    -----
    UTC is taken for UT1, which before 1960 it followed closely; a second would be a sixtieth of what matters here.

    References
    ----------
    .. [1] Capitaine, Wallace & Chapront 2003, A&A 412, 567: precession and sidereal time.
    """
    counts = [len(moments) for moments in starts]
    plate = np.repeat(np.arange(len(starts)), counts)
    jd = np.array([_UNIX_JD + moment.timestamp() / 86400.0 for moments in starts for moment in moments])
    right_ascension = ra_of_date(ra_deg[plate], dec_deg[plate], jd) / 15.0
    hours = np.mod(right_ascension - sidereal_hours(jd) - obsha[plate] + 12.0, 24.0) - 12.0
    return np.split(60.0 * hours - ZERO_POINT_MINUTES, np.cumsum(counts))[:-1]


def sidereal_hours(jd: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean sidereal time at Palomar in hours, of Julian dates in UT1."""
    greenwich = erfa.gmst06(jd, 0.0, jd, _TT_LESS_UT1_DAYS)
    result: NDArray[np.float64] = np.mod(np.degrees(greenwich) + _LONGITUDE_DEG, 360.0) / 15.0
    return result


def ra_of_date(
    ra_deg: NDArray[np.float64], dec_deg: NDArray[np.float64], jd: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Right ascension of J2000 positions in the mean equator and equinox of date, in degrees.

    Parameters
    ----------
    ra_deg, dec_deg : ndarray of float64, shape (n,)
        J2000.
    jd : ndarray of float64, shape (n,)
        Julian date of each; a minute more or less does not matter.
    """
    matrices = erfa.pmat06(_J2000_JD, jd - _J2000_JD)
    vectors = erfa.s2c(np.radians(ra_deg), np.radians(dec_deg))
    ra, _ = erfa.c2s(np.einsum("nij,nj->ni", matrices, vectors))
    result: NDArray[np.float64] = np.mod(np.degrees(ra), 360.0)
    return result


def residual_at(moment: datetime, start: datetime, residual_minutes: float) -> float:
    """The residual at another moment, minutes in [−720, 720), from that at a start some days away."""
    elapsed_minutes = (moment - start).total_seconds() / 60.0
    return float(np.mod(residual_minutes - _SIDEREAL_RATE * elapsed_minutes + 720.0, 1440.0) - 720.0)
