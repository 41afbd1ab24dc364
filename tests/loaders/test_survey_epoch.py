"""Positions at J1954.0, computed here, are those that the database would compute."""

import astropy.units as u
import numpy as np
from astropy.coordinates import SkyCoord
from astropy.time import Time
from sqlalchemy import Connection, text

from vascodb.loaders.survey_epoch import at_survey_epoch

N = 4000


def sky() -> tuple[np.ndarray, ...]:
    """Positions everywhere, most of them at the poles and about right ascension 0; slow, fast and no motions."""
    rng = np.random.default_rng(4)
    ra = np.concatenate([rng.uniform(0, 360, N), rng.uniform(-1e-4, 1e-4, N) % 360 % 360, np.array([0.0, 0.0, 180.0])])
    dec = np.concatenate([np.degrees(np.arcsin(rng.uniform(-1, 1, N))), rng.uniform(-1, 1, N) * 90, [0.0, 90.0, -90.0]])
    dec[:400] = np.sign(dec[:400]) * (90 - rng.exponential(0.01, 400))
    pmra, pmdec = (rng.normal(0, 10, len(ra)) * rng.choice([0, 1, 1000], len(ra)) for _ in range(2))
    pmra, pmdec = (np.clip(pm, -19999, 19999).astype(np.float32) for pm in (pmra, pmdec))
    missing = rng.random(len(ra)) < 0.2
    pmra[missing] = pmdec[missing] = np.nan
    return ra, dec, pmra, pmdec, rng.choice(np.float32([1950.0, 1991.25, 2000.0, 2015.5, 2016.0]), len(ra))


def test_they_are_those_of_the_database(connection: Connection) -> None:
    ra, dec, pmra, pmdec, epoch = sky()
    rows = connection.execute(
        text("""
            SELECT p.ra_deg, p.dec_deg
            FROM unnest(
                CAST(:ra AS float8[]), CAST(:dec AS float8[]), CAST(:pmra AS real[]), CAST(:pmdec AS real[]),
                CAST(:epoch AS real[])
            ) WITH ORDINALITY AS s (ra, dec, pmra, pmdec, epoch, i)
            CROSS JOIN LATERAL sky.propagate(
                s.ra, s.dec, nullif(s.pmra, 'nan'), nullif(s.pmdec, 'nan'), 1954.0 - s.epoch
            ) AS p
            ORDER BY s.i
        """),
        {
            "ra": ra.tolist(),
            "dec": dec.tolist(),
            "pmra": pmra.tolist(),
            "pmdec": pmdec.tolist(),
            "epoch": epoch.tolist(),
        },
    ).all()
    expected = np.array([tuple(row) for row in rows])
    got_ra, got_dec = at_survey_epoch(ra, dec, pmra, pmdec, epoch)
    assert (got_ra >= 0).all()
    assert (got_ra < 360).all()
    across = np.abs((got_ra - expected[:, 0] + 180) % 360 - 180) * np.cos(np.radians(dec))
    assert across.max() < 1e-9
    assert np.abs(got_dec - expected[:, 1]).max() < 1e-9


def test_they_are_those_of_astropy() -> None:
    """As fast as Barnard's star, at its distance; astropy takes the star's motion through space into account."""
    ra, dec, pmra, pmdec, _ = sky()
    slower = np.hypot(pmra, pmdec) < 10_400
    ra, dec, pmra, pmdec = (values[slower] for values in (ra, dec, pmra, pmdec))
    gaia = SkyCoord(
        ra * u.deg, dec * u.deg, pm_ra_cosdec=pmra * u.mas / u.yr, pm_dec=pmdec * u.mas / u.yr,
        obstime=Time("J2016", scale="tdb"), distance=1.8 * u.pc,
    )  # fmt: skip
    expected = gaia.apply_space_motion(new_obstime=Time("J1954", scale="tdb"))
    got = SkyCoord(*at_survey_epoch(ra, dec, pmra, pmdec, np.full(len(ra), 2016.0)), unit="deg")
    assert got.separation(expected).arcsec.max() < 1e-4
