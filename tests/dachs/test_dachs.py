"""The TAP client against a real service: what the local servers imitate, this one does by itself."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import pyvo
from astropy import units as u
from astropy.coordinates import SkyCoord
from astropy.table import Table
from pyvo.dal.exceptions import DALOverflowWarning, DALQueryError

pytestmark = pytest.mark.dachs

CONE = (
    'SELECT "Source", "RA_ICRS", "DE_ICRS", "Gmag" FROM "I/350/gaiaedr3" '
    "WHERE 1 = CONTAINS(POINT('ICRS', \"RA_ICRS\", \"DE_ICRS\"), CIRCLE('ICRS', 132.85, 11.81, 0.25))"
)


@pytest.fixture(scope="module")
def stars(shared_data: Path) -> Table:
    return Table.read(shared_data / "gaia" / "gaia_edr3_M67_6179rows.csv", format="ascii.csv")


@pytest.mark.parametrize("mode", ["sync", "async"])
def test_a_cone_of_m67(dachs_tap_url: str, stars: Table, mode: str) -> None:
    service = pyvo.dal.TAPService(dachs_tap_url)
    rows = (service.search if mode == "sync" else service.run_async)(CONE)
    near = (
        SkyCoord(stars["ra"], stars["dec"], unit="deg").separation(SkyCoord(132.85, 11.81, unit="deg")) <= 0.25 * u.deg
    )
    assert sorted(rows["Source"].tolist()) == sorted(stars["source_id"][near].tolist())
    assert len(rows) > 500
    assert rows.query_status == "OK"
    assert str(rows.to_table()["RA_ICRS"].unit) == "deg"


def test_overflow_and_errors_as_the_local_server_has_them(dachs_tap_url: str) -> None:
    service = pyvo.dal.TAPService(dachs_tap_url)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DALOverflowWarning)
        rows = service.search(CONE.replace("0.25)", "0.5)"), maxrec=100)
    assert (len(rows), rows.query_status) == (100, "OVERFLOW")
    with pytest.raises(DALQueryError):
        service.search('SELECT nothing FROM "I/350/gaiaedr3"')


def test_an_uploaded_list(dachs_tap_url: str, stars: Table) -> None:
    upload = Table({"row_id": np.arange(50), "ra": stars["ra"][:50], "dec": stars["dec"][:50]})
    query = (
        'SELECT u.row_id, s."Source" FROM TAP_UPLOAD.t1 AS u JOIN "I/350/gaiaedr3" AS s '
        "ON 1 = CONTAINS(POINT('ICRS', s.\"RA_ICRS\", s.\"DE_ICRS\"), CIRCLE('ICRS', u.ra, u.dec, 0.0002))"
    )
    rows = pyvo.dal.TAPService(dachs_tap_url).search(query, uploads={"t1": upload})
    found = set(zip(rows["row_id"].tolist(), rows["Source"].tolist(), strict=True))
    assert found >= set(enumerate(stars["source_id"][:50].tolist()))
