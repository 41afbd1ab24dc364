"""Names of tiles: squares of sky called after their centres."""

__all__ = ["tile_name"]


def tile_name(ra_deg: float, dec_deg: float) -> str:
    """The name of the tile centred at a position: ``tile_RA132.824_DECp11.801``.

    Three decimals, ``p`` or ``m`` for the sign of the declination, no zero padding, as in the
    published tile plan.
    """
    ra = round(ra_deg % 360.0, 3) % 360.0
    dec = round(dec_deg, 3)
    return f"tile_RA{ra:.3f}_DEC{'m' if dec < 0 else 'p'}{abs(dec):.3f}"
