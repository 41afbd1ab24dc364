"""Names of tiles: squares of sky called after their centres, and the way back from the name to the centre."""

import re

from vascodb.errors import InputError

__all__ = ["tile_centre", "tile_name"]

_TILE_NAME = re.compile(r"tile_RA(\d{1,3}\.\d{3})_DEC([pm])(\d{1,2}\.\d{3})", re.ASCII)


def tile_name(ra_deg: float, dec_deg: float) -> str:
    """The name of the tile centred at a position: ``tile_RA132.824_DECp11.801``.

    Three decimals, ``p`` or ``m`` for the sign of the declination, no zero padding, as in the
    published tile plan.
    """
    ra = round(ra_deg % 360.0, 3) % 360.0
    dec = round(dec_deg, 3)
    return f"tile_RA{ra:.3f}_DEC{'m' if dec < 0 else 'p'}{abs(dec):.3f}"


def tile_centre(tile_id: str) -> tuple[float, float]:
    """The centre of a tile, which its name says; nothing else in vascodb turns a name into a position.

    Parameters
    ----------
    tile_id : str
        Name as from `tile_name`.

    Returns
    -------
    ra_deg, dec_deg : float
        Right ascension in [0, 360) and declination in degrees, to three decimals.

    Raises
    ------
    InputError
        If it is no tile name, or not the one name of its position; there is no position to fall back on.
    """
    match = _TILE_NAME.fullmatch(tile_id)
    if match is not None and float(match[1]) < 360 and float(match[3]) <= 90:
        ra_deg, dec_deg = float(match[1]), float(match[3]) * (-1 if match[2] == "m" else 1)
        # A tile that could be called RA010.000 as well as RA10.000 would be two tiles.
        if tile_name(ra_deg, dec_deg) == tile_id:
            return ra_deg, dec_deg
    raise InputError(f"{tile_id!r} is not the name of a tile, such as tile_RA132.824_DECp11.801")
