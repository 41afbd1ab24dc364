"""The residual solution of real plates: M67 with its Gaia stars, and a cutout with hardly any."""

import csv

import numpy as np
import pytest
from m67 import GAIA_FILE
from scipy.spatial import KDTree
from sqlalchemy import text

from vascodb.extract.config import load_config
from vascodb.extract.passes import detect
from vascodb.loaders.reference import load_reference
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import catalogs
from vascodb.pipeline.detections import save_detections
from vascodb.plates.images import read_image
from vascodb.plates.plate_fit import fit_image
from vascodb.plates.register import record_image, tile_of
from vascodb.plates.tangent_fit import PlateFitParameters, fit_tangent_plane
from vascodb.plates.ties import read_frame, read_ties

M67 = "tiles/POSS1-E_XE486_M67_30arcmin.fits"
FEW_STARS = "tiles/POSS1-E_XE582_HD219829_4arcmin_MASTheader_badtime.fits"


def load(database, path, folder, extraction_id: int) -> None:
    """The detections of an image, without a PSF."""
    image = read_image(path)
    found = detect(path, load_config("seed"), folder)
    with database.connect() as connection:
        image_id = record_image(connection, image, tile_of(image))
        connection.execute(
            text("""
                INSERT INTO vasco.extraction (
                    extraction_id, image_id, config_name, config_sha256, sextractor_version, psfex_version,
                    n_detections, tool_warnings
                )
                VALUES (:id, :image, 'seed', 'toy', '0', '0', :n, '{}')
            """),
            {"id": extraction_id, "image": image_id, "n": len(found)},
        )
        save_detections(database, connection, extraction_id, found, image.astrometry)


@pytest.fixture(scope="module")
def plates(module_database, shared_data, tmp_path_factory):
    load_reference(
        module_database, catalogs()["gaia_edr3"], shared_data / GAIA_FILE, Cone.parse("132.8242,11.8010,0.50deg")
    )
    load_reference(
        module_database,
        catalogs()["gaia_edr3"],
        shared_data / "gaia/astropy_tutorial_HD_219829_query_results.ecsv",
        # Wider than the file really is; here only its stars count, not where it has none.
        Cone.parse("349.7147,5.4106,0.04deg"),
    )
    load(module_database, shared_data / M67, tmp_path_factory.mktemp("m67"), 1)
    load(module_database, shared_data / FEW_STARS, tmp_path_factory.mktemp("few"), 2)
    return module_database


@pytest.fixture
def m67(plates, connection):
    return connection


def clear(connection) -> list[int]:
    connection.execute(text("SELECT * FROM stage.match(1, 'gaia_edr3')"))
    return list(
        connection.scalars(
            text("SELECT number FROM vasco.match WHERE extraction_id = 1 AND state = 'clear' ORDER BY number")
        )
    )


def test_m67_has_an_offset_and_a_distortion_that_are_taken_out(m67) -> None:
    done = fit_image(m67, 1)
    found = done.fit
    assert found.accepted, found.reason
    assert (found.n_eligible, found.n_ties, found.n_kept) == (958, 949, 870)
    assert (found.solution.degree, found.coverage, done.moved) == (3, 1.0, 1353)
    # Star minus detection; the detections are 0.27 arcsec west of their stars, and 0.16 north.
    assert found.offset_arcsec == pytest.approx((0.2745, -0.1594), abs=0.001)
    assert found.sigma_before_arcsec == pytest.approx(0.1116, abs=0.001)
    assert found.sigma_arcsec == pytest.approx(0.0894, abs=0.001)
    assert found.worst_cell_arcsec == pytest.approx(0.139, abs=0.005)
    assert found.largest_shift_arcsec == pytest.approx(0.448, abs=0.005)
    assert found.extrapolation_arcsec < 0.05


def test_moved_or_not_the_same_24_of_m67_are_clear(m67, shared_data) -> None:
    with (shared_data / "tiles/M67_24_without_gaia.csv").open(newline="") as stream:
        expected = [int(row["number"]) for row in csv.DictReader(stream)]
    assert clear(m67) == expected
    assert fit_image(m67, 1).moved == 1353
    assert clear(m67) == expected
    raw = m67.execute(
        text("SELECT ra_raw, dec_raw FROM vasco.detection WHERE extraction_id = 1 AND number = 169")
    ).one()
    assert tuple(raw) == pytest.approx((132.7242, 11.9851), abs=5e-5)


def test_the_fit_of_half_of_m67_holds_for_the_other_half(m67) -> None:
    frame, ties = read_frame(m67, 1), read_ties(m67, 1, "gaia_edr3", 5.0, 0, 30.0)
    tied = ties.select(ties.tied)
    half = np.random.default_rng(8).permutation(len(tied.x)) % 2 == 0
    cos_dec = np.cos(np.radians(tied.dec))
    scatter = {}
    for degree in (0, 3):
        fit = fit_tangent_plane(tied.select(half), frame, PlateFitParameters(degree_max=degree))
        ra, dec = fit.solution.correct(tied.ra_raw, tied.dec_raw)
        residual = 3600 * np.concatenate([(tied.ra - ra) * cos_dec, tied.dec - dec])
        scatter[degree] = 1.4826 * np.median(np.abs(residual[np.tile(~half, 2)]))
        assert scatter[degree] == pytest.approx(fit.sigma_arcsec, rel=0.25)
    # A distortion is there: with it, the stars that had no part in the fit are met better.
    assert scatter[3] < 0.95 * scatter[0] < 0.12


@pytest.mark.parametrize(("east_arcsec", "north_arcsec"), [(30, 0), (0, 30), (-30, 0), (8, 0)])
def test_displaced_to_other_stars_m67_is_refused(m67, east_arcsec: float, north_arcsec: float) -> None:
    m67.execute(
        text("""
            UPDATE vasco.detection
            SET ra_raw = ra_raw + :east / 3600.0 / cosd(dec_raw), dec_raw = dec_raw + :north / 3600.0
        """),
        {"east": east_arcsec, "north": north_arcsec},
    )
    found = fit_image(m67, 1).fit
    assert not found.accepted
    assert found.n_ties < 100
    assert found.sigma_arcsec > 2
    assert found.worst_cell_arcsec == 5.0


def test_the_offset_of_the_wrong_header_solution_is_taken_out(m67) -> None:
    """2.3 arcsec, as on a third of the plates."""
    fit_image(m67, 1)
    once = m67.execute(text("SELECT number, ra, dec FROM vasco.detection WHERE extraction_id = 1 ORDER BY 1")).all()
    m67.execute(text("UPDATE vasco.detection SET ra_raw = ra_raw + 2.3 / 3600.0 / cosd(dec_raw)"))
    done = fit_image(m67, 1)
    assert (done.fit.accepted, done.fit.n_ties) == (True, 949)
    again = m67.execute(text("SELECT number, ra, dec FROM vasco.detection WHERE extraction_id = 1 ORDER BY 1")).all()
    assert 3600 * np.abs(np.array(once)[:, 1:] - np.array(again)[:, 1:]).max() < 0.05


def test_the_fit_of_m67_as_the_seeds_make_it(m67) -> None:
    done = fit_image(m67, 1, "wcsfix")
    assert (done.fit.accepted, done.moved) == (True, 0)
    assert (done.fit.n_ties, done.fit.n_kept, done.fit.iterations, done.fit.clip_arcsec) == (1329, 1293, 3, 1.5)
    ours = fit_image(m67, 1).fit.solution
    raw = np.array(m67.execute(text("SELECT ra_raw, dec_raw FROM vasco.detection WHERE extraction_id = 1")).all())
    theirs, own = (np.array(fit.correct(*raw.T)) for fit in (done.fit.solution, ours))
    assert 3600 * np.abs(theirs - own).max() < 0.3


def test_ties_of_m67_are_those_of_a_tree(m67) -> None:
    """A detection is tied where any star, as it stood when the plate was exposed, is within the radius."""
    rows = m67.execute(text("SELECT * FROM stage.tie_points(1, 'gaia_edr3', 5.0, NULL, NULL)")).mappings().all()
    stars = np.array(
        m67.execute(
            text("""
                SELECT p.ra_deg, p.dec_deg FROM ref.gaia_edr3 AS r
                CROSS JOIN plate.image AS i
                JOIN vasco.extraction AS e ON e.image_id = i.image_id AND e.extraction_id = 1
                CROSS JOIN LATERAL sky.propagate(
                    r.ra, r.dec, r.pmra_masyr, r.pmdec_masyr, i.epoch_jyear - r.epoch_jyear
                ) AS p
                WHERE r.dec > 8
            """)
        ).all()
    )
    detections = np.array([(row["ra_raw"], row["dec_raw"]) for row in rows])
    distance, _ = KDTree(vectors(stars)).query(vectors(detections))
    near = 3600 * np.degrees(2 * np.arcsin(distance / 2)) <= 5
    assert near.sum() == 1329
    assert [row["source_id"] is not None for row in rows] == near.tolist()


def vectors(sky: np.ndarray) -> np.ndarray:
    ra, dec = np.radians(sky.T)
    return np.stack([np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec)], axis=1)


def test_a_cutout_with_few_stars_is_refused(m67) -> None:
    done = fit_image(m67, 2)
    assert not done.fit.accepted
    assert done.fit.reason == "2 ties to stars of known position, 10 needed"
    assert done.moved == 0
    assert fit_image(m67, 2, "wcsfix").fit.reason == "too few tie points: 2 within 15 arcsec, 10 needed"
