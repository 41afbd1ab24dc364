import warnings
from dataclasses import replace
from datetime import datetime

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.table import join
from astropy.time import Time
from astropy.wcs import WCS, FITSFixedWarning
from scipy import ndimage

from vascodb.errors import InputError
from vascodb.plates.dates import read_exposure_times
from vascodb.plates.solution import read_astrometry
from vascodb.simulate import SimulationSpec, simulate_plate

CENTRES = {"RA 0": (0.0, -7.0), "dec +85": (211.0, 85.0), "pole": (30.0, 89.95), "far south": (300.0, -60.0)}


def wcslib(header):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FITSFixedWarning)
        return WCS(header)


def sky(table):
    return SkyCoord(np.asarray(table["ra"]), np.asarray(table["dec"]), unit="deg")


def of_kind(truth, *kinds):
    return truth[np.isin(truth["kind"], kinds)]


@pytest.fixture(scope="module", params=CENTRES, ids=str)
def centred_plate(request, small_spec):
    ra_deg, dec_deg = CENTRES[request.param]
    return simulate_plate(replace(small_spec, ra_deg=ra_deg, dec_deg=dec_deg))


def test_the_same_specification_gives_the_same_plate(small_spec, small_plate):
    again = simulate_plate(small_spec)
    assert again.header.tostring() == small_plate.header.tostring()
    np.testing.assert_array_equal(again.image, small_plate.image)
    assert (again.truth == small_plate.truth).all()
    assert again.truth.meta == small_plate.truth.meta


def test_another_seed_gives_another_plate(small_spec, small_plate):
    other = simulate_plate(replace(small_spec, seed=8))
    assert (other.image != small_plate.image).mean() > 0.9


def test_more_defects_leave_stars_and_grain_alone(small_spec, small_plate):
    other = simulate_plate(replace(small_spec, n_defects=6))
    assert (other.image != small_plate.image).mean() < 0.1
    assert (of_kind(other.truth, "star") == of_kind(small_plate.truth, "star")).all()


def test_the_header_is_that_of_a_red_palomar_plate_and_says_it_is_simulated(small_plate):
    header = small_plate.header
    assert (header["SURVEY"], header["REGION"], header["BITPIX"], header["BANDPASS"]) == ("POSSI-E", "XE999", 16, 8)
    assert header["SIMULATD"] is True
    assert header["SIMSEED"] == 7
    assert "DATE" not in header
    assert small_plate.image.dtype == np.int16
    assert small_plate.image.shape == (header["NAXIS2"], header["NAXIS1"])


def test_the_dss_polynomial_is_the_only_solution_and_wcslib_agrees_with_it(centred_plate):
    astrometry = read_astrometry(centred_plate.header)
    assert astrometry.available == ("dss",)
    x, y = np.meshgrid(np.linspace(1, centred_plate.image.shape[1], 5), np.linspace(1, centred_plate.image.shape[0], 5))
    ours = SkyCoord(*astrometry.solution.pixel_to_sky(x, y), unit="deg")
    theirs = SkyCoord(*wcslib(centred_plate.header).all_pix2world(x, y, 1), unit="deg")
    assert ours.separation(theirs).arcsec.max() < 1e-6


def test_the_image_is_centred_where_it_was_asked_for(centred_plate):
    n_y, n_x = centred_plate.image.shape
    centre = SkyCoord(*wcslib(centred_plate.header).all_pix2world((n_x + 1) / 2, (n_y + 1) / 2, 1), unit="deg")
    wanted = SkyCoord(centred_plate.spec.ra_deg, centred_plate.spec.dec_deg, unit="deg")
    assert centre.separation(wanted).arcsec < 1.7


def test_a_whole_plates_solution_is_bent_as_much_as_a_real_one():
    header = simulate_plate(
        replace(
            SimulationSpec(),
            size_arcmin=4.0,
            n_stars=0,
            n_high_pm=0,
            n_blends=0,
            n_vanished=0,
            n_vanished_blended=0,
            n_defects=0,
        )
    ).header
    solution = read_astrometry(header).solution
    angle = np.linspace(0, 2 * np.pi, 60)
    x_mm, y_mm = 2.2 * 3600 / 67.2 * np.cos(angle), 2.2 * 3600 / 67.2 * np.sin(angle)
    linear = replace(solution, amdx=(*solution.amdx[:3], *[0.0] * 10), amdy=(*solution.amdy[:3], *[0.0] * 10))
    x = (solution.ppo3 - 1000 * x_mm) / solution.x_pixel_um - solution.cnpix1 + 0.5
    y = (solution.ppo6 + 1000 * y_mm) / solution.y_pixel_um - solution.cnpix2 + 0.5
    bent = SkyCoord(*solution.pixel_to_sky(x, y), unit="deg")
    straight = SkyCoord(*linear.pixel_to_sky(x, y), unit="deg")
    assert 2.0 < np.median(bent.separation(straight).arcsec) < 10.3


@pytest.mark.filterwarnings("ignore:ERFA function")
def test_the_epoch_is_mid_exposure_in_hours_and_hundredths(small_plate):
    header, epoch = small_plate.header, small_plate.truth.meta["epoch_jyear"]
    day, clock = header["DATE-OBS"].split("T")
    hours, hundredths, _ = (int(v) for v in clock.split(":"))
    start = Time(datetime.fromisoformat(day)) + (hours + hundredths / 100) * u.hour
    assert epoch == pytest.approx((start + header["EXPOSURE"] / 2 * u.min).jyear, abs=1e-5)
    assert epoch == pytest.approx(read_exposure_times(header).epoch_jyear, abs=1e-8)


def test_the_plate_was_exposed_at_night_with_the_field_above_the_horizon(small_plate):
    hours = int(small_plate.header["DATE-OBS"].split("T")[1].split(":")[0])
    assert 5 <= hours <= 10
    assert abs(small_plate.header["OBSHA"]) < 1
    assert small_plate.header["OBSZD"] < 60


def test_reference_stars_moved_to_the_plates_epoch_are_where_the_truth_has_them(centred_plate):
    # astropy's space motion is the independent judge.
    matched = join(
        of_kind(centred_plate.truth, "star", "high_pm", "blend"),
        centred_plate.reference,
        "source_id",
        table_names=["plate", "modern"],
    )
    moving = matched[~matched["pmra"].mask]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        then = SkyCoord(
            np.asarray(moving["ra_modern"]) * u.deg,
            np.asarray(moving["dec_modern"]) * u.deg,
            pm_ra_cosdec=np.asarray(moving["pmra"]) * u.mas / u.yr,
            pm_dec=np.asarray(moving["pmdec"]) * u.mas / u.yr,
            obstime=Time(2016.0, format="jyear"),
        ).apply_space_motion(Time(centred_plate.truth.meta["epoch_jyear"], format="jyear"))
    on_plate = SkyCoord(np.asarray(moving["ra_plate"]), np.asarray(moving["dec_plate"]), unit="deg")
    assert on_plate.separation(then).arcsec.max() < 2e-3


def test_reference_stars_without_proper_motion_do_not_move(small_plate):
    reference = small_plate.reference
    unknown = reference[reference["pmra"].mask]
    assert 0.02 < len(unknown) / len(reference) < 0.12
    stars = of_kind(small_plate.truth, "star", "high_pm", "blend")
    matched = join(stars, unknown, "source_id", table_names=["plate", "modern"])
    assert len(matched) > 5
    np.testing.assert_allclose(matched["ra_plate"], matched["ra_modern"], atol=1e-9)
    assert np.abs(matched["moved_arcsec"]).max() < 1e-4


def test_fast_stars_have_left_their_place_on_the_plate_by_2016(centred_plate):
    fast = of_kind(centred_plate.truth, "high_pm")
    assert len(fast) == centred_plate.spec.n_high_pm
    matched = join(fast, centred_plate.reference, "source_id", table_names=["plate", "modern"])
    assert len(matched) == len(fast)
    then = SkyCoord(np.asarray(matched["ra_plate"]), np.asarray(matched["dec_plate"]), unit="deg")
    now = SkyCoord(np.asarray(matched["ra_modern"]), np.asarray(matched["dec_modern"]), unit="deg")
    moved = then.separation(now).arcsec
    assert moved.min() > 5.5
    assert moved.max() < 205
    np.testing.assert_allclose(moved, matched["moved_arcsec"], atol=1e-4)


def test_vanished_sources_are_in_the_reference_neither_then_nor_now(centred_plate):
    vanished = of_kind(centred_plate.truth, "vanished")
    assert len(vanished) == centred_plate.spec.n_vanished
    now = sky(centred_plate.reference)
    then = sky(of_kind(centred_plate.truth, "star", "high_pm", "blend"))
    for catalogue in (now, then):
        assert sky(vanished).match_to_catalog_sky(catalogue)[1].arcsec.min() > 10.0


def test_vanished_sources_stand_clear_of_visible_stars_and_of_defects(small_plate):
    truth = small_plate.truth
    vanished = of_kind(truth, "vanished")
    visible = of_kind(truth, "star", "high_pm", "blend")
    visible = visible[visible["mag"] < truth.meta["limit_5sigma_mag"]]
    apart = sky(vanished)[:, None].separation(sky(visible)[None, :]).arcsec
    assert (apart > 12.0 + 0.5 * np.asarray(visible["extent_arcsec"])[None, :]).all()
    flaws = of_kind(truth, "defect")
    flaws = flaws[flaws["subkind"] != "trail"]
    beside = sky(of_kind(truth, "vanished_blended"))
    assert sky(vanished).match_to_catalog_sky(beside)[1].arcsec.min() > 12.0
    apart = sky(vanished)[:, None].separation(sky(flaws)[None, :]).arcsec
    assert (apart > 12.0 + np.asarray(flaws["extent_arcsec"])[None, :]).all()


def test_blended_sources_stand_near_a_star_and_blends_are_pairs(small_plate):
    truth = small_plate.truth
    beside = of_kind(truth, "vanished_blended")
    assert len(beside) == small_plate.spec.n_vanished_blended
    apart = sky(beside).match_to_catalog_sky(sky(of_kind(truth, "star")))[1].arcsec
    assert apart.max() < 8.05
    blends = of_kind(truth, "blend")
    assert len(blends) == 2 * small_plate.spec.n_blends
    for pair in set(blends["pair"]):
        first, second = sky(blends[blends["pair"] == pair])
        assert 2.98 < first.separation(second).arcsec < 8.02


def test_the_reference_covers_its_cone_and_the_cone_covers_the_image_and_more(centred_plate):
    cone = centred_plate.reference.meta["cone"]
    centre = SkyCoord(cone["ra_deg"], cone["dec_deg"], unit="deg")
    from_centre = centre.separation(sky(centred_plate.reference)).deg
    assert from_centre.max() <= cone["radius_deg"]
    # Even over the area: half of the area holds half of the stars.
    assert np.mean(from_centre < cone["radius_deg"] / np.sqrt(2)) == pytest.approx(0.5, abs=0.06)
    meta = centred_plate.truth.meta
    corners = SkyCoord(meta["corner_ra_deg"], meta["corner_dec_deg"], unit="deg")
    assert centre.separation(corners).deg.max() + 5 / 60 < cone["radius_deg"]
    assert len(set(centred_plate.reference["source_id"])) == len(centred_plate.reference)
    assert ((np.asarray(centred_plate.reference["ra"]) >= 0) & (np.asarray(centred_plate.reference["ra"]) < 360)).all()


def test_truth_pixels_and_truth_sky_agree_through_wcslib(centred_plate):
    truth = centred_plate.truth
    n_y, n_x = centred_plate.image.shape
    assert (truth["x"] >= 0.5).all()
    assert (truth["x"] < n_x + 0.5).all()
    assert (truth["y"] >= 0.5).all()
    assert (truth["y"] < n_y + 0.5).all()
    from_pixels = SkyCoord(*wcslib(centred_plate.header).all_pix2world(truth["x"], truth["y"], 1), unit="deg")
    assert sky(truth).separation(from_pixels).arcsec.max() < 1e-3


def test_bright_isolated_stars_are_on_the_image_where_the_truth_has_them(centred_plate):
    truth, image = centred_plate.truth, centred_plate.image
    limit = truth.meta["limit_5sigma_mag"]
    sources = truth[~truth["mag"].mask]
    sources = sources[sources["mag"] < limit + 0.5]
    nearest = sky(sources).match_to_catalog_sky(sky(sources), nthneighbor=2)[1].arcsec
    bright = sources[(nearest > 14) & (sources["mag"] > limit - 7) & (sources["mag"] < limit - 3)]
    half = 4
    inside = (np.minimum(bright["x"], bright["y"]) > 10) & (np.maximum(bright["x"], bright["y"]) < image.shape[0] - 10)
    offsets = []
    for x, y in bright[inside].iterrows("x", "y"):
        column, row = round(x) - 1, round(y) - 1
        stamp = image[row - half : row + half + 1, column - half : column + half + 1] - np.median(image)
        stamp = np.where(stamp > 800, stamp, 0)
        dy, dx = ndimage.center_of_mass(stamp)
        offsets.append((column + 1 + dx - half - x, row + 1 + dy - half - y))
    assert len(offsets) >= 10
    assert np.median(np.hypot(*np.transpose(offsets))) < 0.1
    assert np.abs(np.median(offsets, axis=0)).max() < 0.05


def test_half_a_magnitude_above_the_limit_stars_are_detectable_and_below_they_are_not(small_spec):
    plate = simulate_plate(replace(small_spec, size_arcmin=20.0, n_stars=1500, n_vanished=120, n_defects=0, n_trails=0))
    truth = plate.truth
    limit, rms = truth.meta["limit_5sigma_mag"], truth.meta["background_rms"]
    taps = np.array([0.25, 0.5, 0.25])
    smooth = ndimage.convolve(plate.image.astype(float) - np.median(plate.image), np.outer(taps, taps))
    label, _ = ndimage.label(smooth > 5 * rms, structure=np.ones((3, 3)))
    area = np.bincount(label.ravel())
    area[0] = 0
    vanished = of_kind(truth, "vanished")
    rows, columns = np.rint(vanished["y"]).astype(int) - 1, np.rint(vanished["x"]).astype(int) - 1
    detected = area[label[rows, columns]] >= 5
    assert detected[vanished["mag"] < limit - 0.5].mean() > 0.97
    faint = of_kind(truth, "star")
    faint = faint[(faint["mag"] > limit + 0.5) & (faint["mag"] < limit + 1)]
    rows, columns = np.rint(faint["y"]).astype(int) - 1, np.rint(faint["x"]).astype(int) - 1
    rows, columns = np.clip(rows, 0, label.shape[0] - 1), np.clip(columns, 0, label.shape[1] - 1)
    assert (area[label[rows, columns]] >= 5).mean() < 0.2


def test_the_expected_outcome_follows_the_limit(small_plate):
    truth = small_plate.truth
    limit = truth.meta["limit_5sigma_mag"]
    vanished = of_kind(truth, "vanished")
    assert ((vanished["expected"] == "candidate") == (vanished["mag"] <= limit - 0.5)).all()
    assert set(of_kind(truth, "star", "blend", "high_pm")["expected"]) == {"matched"}
    assert set(of_kind(truth, "defect")["expected"]) == {"rejected"}


def test_a_cluster_crowds_the_centre(small_spec):
    plate = simulate_plate(replace(small_spec, n_stars=300, cluster_fraction=0.6, cluster_radius_arcmin=1.5))
    stars = of_kind(plate.truth, "star")
    middle = (np.array(plate.image.shape) + 1) / 2
    distance = np.hypot(stars["x"] - middle[1], stars["y"] - middle[0])
    assert np.mean(distance < 353 / 5) > 0.3


def test_fine_scans_have_smaller_pixels(small_spec):
    plate = simulate_plate(
        replace(
            small_spec,
            size_arcmin=5.0,
            n_stars=100,
            n_vanished=3,
            n_high_pm=1,
            n_blends=1,
            n_defects=1,
            high_resolution=True,
        )
    )
    assert read_astrometry(plate.header).scale_arcsec_px == pytest.approx(1.01, abs=1e-3)
    assert plate.image.shape == (297, 297)


def test_an_image_over_the_edge_of_the_plate_is_refused(small_spec):
    with pytest.raises(InputError, match="plate's edge"):
        simulate_plate(replace(small_spec, plate_offset_deg=(3.3, 0.0)))


def test_a_field_without_room_for_isolated_sources_is_refused(small_spec):
    with pytest.raises(InputError, match="too crowded"):
        simulate_plate(replace(small_spec, n_stars=30_000))
