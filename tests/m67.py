"""Gaia EDR3 in the field of M67, recorded, as VizieR publishes it."""

from pathlib import Path

import astropy.units as u
from astropy.table import Table
from servers.skytable import SkyTable

__all__ = ["GAIA_FILE", "TABLE", "vizier_table"]

GAIA_FILE = "gaia/gaia_edr3_M67_6179rows.csv"
TABLE = "I/350/gaiaedr3"

_NAMES = {
    "source_id": ("Source", None),
    "ra": ("RA_ICRS", u.deg),
    "dec": ("DE_ICRS", u.deg),
    "pmra": ("pmRA", u.mas / u.yr),
    "pmdec": ("pmDE", u.mas / u.yr),
    "phot_g_mean_mag": ("Gmag", u.mag),
}


def vizier_table(shared_data: Path) -> SkyTable:
    """The recorded stars under VizieR's names of table and columns, with its units."""
    recorded = Table.read(shared_data / GAIA_FILE, format="ascii.csv")
    renamed = Table()
    for name, (new, unit) in _NAMES.items():
        renamed[new] = recorded[name]
        renamed[new].unit = unit
    return SkyTable(TABLE, renamed, "RA_ICRS", "DE_ICRS")
