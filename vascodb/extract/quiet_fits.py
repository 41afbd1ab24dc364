"""Opening FITS files whose faults are judged here and reported as one error, not as warnings on the user's screen."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from astropy.io import fits
from astropy.utils.exceptions import AstropyUserWarning

__all__ = ["open_quietly"]


@contextmanager
def open_quietly(path: Path) -> Iterator[fits.HDUList]:
    """Open a FITS file without astropy's warnings about it; the errors are astropy's.

    Parameters
    ----------
    path : `~pathlib.Path`
        File to read. Data are read, not mapped, when they are first asked for.

    Yields
    ------
    `~astropy.io.fits.HDUList`
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", AstropyUserWarning)
        with fits.open(path, memmap=False) as hdus:
            yield hdus
