"""The FITS header of a simulated plate: the keys of the Digitized Sky Survey, and no more."""

from dataclasses import replace

import numpy as np
from astropy.io import fits

from vascodb.errors import InputError
from vascodb.plates.dss import DssSolution
from vascodb.plates.tangent import plane_to_sky
from vascodb.simulate.spec import PLATE_SCALE_ARCSEC_MM, SimulationSpec

__all__ = ["make_header"]

SITE_LATITUDE_DEG = 33.356
SITE_WEST_LONGITUDE_DEG = 116.863
MIDNIGHT_UT_HOURS = SITE_WEST_LONGITUDE_DEG / 15.0
# Median and half width (or fixed value and 0) of the solutions in 932 real plate headers.
_ROTATION = (0.0, 0.35)
_OFFSET_ARCSEC = (-120.0, 120.0)
_QUADRATIC = (-1.2e-5, 1.5e-5)
_CUBIC_OWN = (2.1e-6, 1.2e-7)
_CUBIC_CROSS = (2.4e-6, 1.2e-7)
_CUBIC_OTHER = (0.0, 5.0e-8)


def make_header(spec: SimulationSpec, rng: np.random.Generator) -> fits.Header:
    """Header of the image a specification asks for.

    Parameters
    ----------
    spec : SimulationSpec
        What to simulate.
    rng : numpy.random.Generator
        Draws the plate solution and the hour angle.

    Returns
    -------
    astropy.io.fits.Header
        It has the DSS polynomial as its only astrometric solution, as whole plates do, and says
        in ``SIMULATD`` and ``SIMSEED`` that it is simulated. It carries no time of writing.

    Raises
    ------
    InputError
        If the image would reach beyond the edge of its plate.
    """
    east, north = spec.plate_offset_deg
    plate_ra, plate_dec = plane_to_sky(-3600.0 * east, -3600.0 * north, spec.ra_deg, spec.dec_deg)
    ra_words = _sexagesimal(float(plate_ra) / 15.0, 24, 2)
    dec_words = _sexagesimal(abs(float(plate_dec)), 91, 1)
    sign = "-" if plate_dec < 0 else "+"
    solution = _draw_solution(spec, rng, 15.0 * _decimal(ra_words), (-1 if sign == "-" else 1) * _decimal(dec_words))
    cnpix1, cnpix2 = _corner(spec, solution)
    return _write(spec, replace(solution, cnpix1=cnpix1, cnpix2=cnpix2), ra_words, dec_words, sign, rng)


def _draw_solution(spec: SimulationSpec, rng: np.random.Generator, ra_deg: float, dec_deg: float) -> DssSolution:
    def draw(centre_and_width: tuple[float, float]) -> float:
        return float(f"{centre_and_width[0] + centre_and_width[1] * rng.uniform(-1, 1):.11e}")

    rotation = draw(_ROTATION)
    coefficients = []
    for linear, cross in ((67.2433, rotation), (67.2607, -rotation)):
        quadratic = [draw(_QUADRATIC), draw(_QUADRATIC), draw((-4e-6, 1e-5)), 0.0]
        cubic = [draw(_CUBIC_OWN), draw(_CUBIC_OTHER), draw(_CUBIC_CROSS), draw(_CUBIC_OTHER)]
        coefficients.append((linear, cross, draw(_OFFSET_ARCSEC), *quadratic, *cubic, 0.0, 0.0))
    scan = spec.scan
    return DssSolution(coefficients[0], coefficients[1], scan.centre_um, scan.centre_um, scan.pixel_um, scan.pixel_um,
                       0.0, 0.0, ra_deg, dec_deg)  # fmt: skip


def _corner(spec: SimulationSpec, solution: DssSolution) -> tuple[int, int]:
    """``CNPIX1`` and ``CNPIX2``: how many pixels of the scan precede the image."""
    if spec.full_plate:
        return 0, 0
    n_y, n_x = spec.shape
    x, y = solution.sky_to_pixel(spec.ra_deg, spec.dec_deg)
    cnpix1, cnpix2 = round(float(x) - (n_x + 1) / 2), round(float(y) - (n_y + 1) / 2)
    if min(cnpix1, cnpix2) < 0 or cnpix1 + n_x > spec.scan.n_x or cnpix2 + n_y > spec.scan.n_y:
        raise InputError(
            f"simulation: an image of {spec.size_arcmin} arcmin at {spec.plate_offset_deg} degrees from the plate "
            "centre reaches over the plate's edge; choose a smaller size or offset"
        )
    return cnpix1, cnpix2


def _write(
    spec: SimulationSpec,
    solution: DssSolution,
    ra_words: tuple[int, int, float],
    dec_words: tuple[int, int, float],
    sign: str,
    rng: np.random.Generator,
) -> fits.Header:
    plate_ra, plate_dec = solution.plate_ra_deg, solution.plate_dec_deg
    date_obs, hour_angle = _night(spec.year, plate_ra / 15.0, plate_dec, rng)
    cos_zd = _cos_zenith_distance(hour_angle, plate_dec)
    scan, (n_y, n_x) = spec.scan, spec.shape
    header = fits.Header()
    header["SIMPLE"] = True
    header["BITPIX"] = 16
    header["NAXIS"] = 2
    header["NAXIS1"], header["NAXIS2"] = n_x, n_y
    header["SIMULATD"] = (True, "Simulated by vascodb: not an observation")
    header["SIMSEED"] = (spec.seed, "Seed of the simulation")
    header["ORIGIN"] = ("vascodb simulation", "Origin of FITS image")
    header["SURVEY"] = ("POSSI-E", "GSSS: Sky Survey")
    header["REGION"] = (spec.region, "GSSS: Region Name (no real plate)")
    header["PLATEID"] = (spec.plate_id, "GSSS: Plate ID")
    header["SCANNUM"], header["DSCNDNUM"] = "00", "00"
    header["TELESCID"] = 1
    header["BANDPASS"] = (8, "GSSS: Bandpass Code")
    header["SITELAT"] = (SITE_LATITUDE_DEG, "Observatory: Latitude")
    header["SITELONG"] = (SITE_WEST_LONGITUDE_DEG, "Observatory: Longitude")
    header["TELESCOP"], header["INSTRUME"] = "Palomar Schmidt", "Photographic Plate"
    header["EMULSION"], header["FILTER"] = "103aE", "plexi"
    header["PLTSCALE"] = (PLATE_SCALE_ARCSEC_MM, "Detector: Plate Scale arcsec per mm")
    header["PLTSIZEX"], header["PLTSIZEY"] = 355.0, 355.0
    header["PLATERA"] = (plate_ra, "Observation: Field centre RA degrees")
    header["PLATEDEC"] = (plate_dec, "Observation: Field centre Dec degrees")
    header["PLTLABEL"] = ("SIM1", "Observation: Plate Label")
    header["DATE-OBS"] = (date_obs, "Observation: hours and hundredths of an hour")
    header["EXPOSURE"] = (spec.exposure_minutes, "Observation: Exposure Minutes")
    header["PLTGRADE"] = "1"
    # The archive counts it east.
    header["OBSHA"] = (round(-hour_angle, 6), "Observation: Hour Angle")
    header["OBSZD"] = (round(float(np.degrees(np.arccos(cos_zd))), 4), "Observation: Zenith Distance")
    header["AIRMASS"] = (round(1.0 / max(cos_zd, 0.05), 5), "Observation: Airmass")
    header["CNPIX1"], header["CNPIX2"] = int(solution.cnpix1), int(solution.cnpix2)
    header["XPIXELS"], header["YPIXELS"] = scan.n_x, scan.n_y
    header["XPIXELSZ"], header["YPIXELSZ"] = solution.x_pixel_um, solution.y_pixel_um
    for i, value in enumerate((0.0, 0.0, solution.ppo3, 0.0, 0.0, solution.ppo6), 1):
        header[f"PPO{i}"] = value
    header["PLTRAH"], header["PLTRAM"], header["PLTRAS"] = ra_words
    header["PLTDECSN"] = sign
    header["PLTDECD"], header["PLTDECM"], header["PLTDECS"] = dec_words
    header["EQUINOX"] = 2000.0
    for name, coefficients in (("AMDX", solution.amdx), ("AMDY", solution.amdy)):
        for i in range(20):
            header[f"{name}{i + 1}"] = coefficients[i] if i < len(coefficients) else 0.0
    return header


def _night(year: int, ra_hours: float, dec_deg: float, rng: np.random.Generator) -> tuple[str, float]:
    """``DATE-OBS`` and the hour angle west, in hours, of an exposure begun near midnight and the meridian.

    Sidereal time and precession to 0.01 h are enough here: GMST = 6.6646 h + 0.0657098 h per day from J2000's
    midnight + 1.0027379 UT, and right ascension grows by 3.075 s + 1.336 s sin(ra) tan(dec) a year
    (Astronomical Almanac, section B).
    """
    wanted = rng.uniform(-0.75, 0.75)
    first_day = np.datetime64(f"{year}-01-01")
    days = (first_day + np.arange(365) - np.datetime64("2000-01-01")).astype(np.float64)
    sidereal_at_0h = 6.6646 + 0.0657098244 * days - MIDNIGHT_UT_HOURS
    ut = np.mod(ra_hours + wanted - sidereal_at_0h, 24.0) / 1.0027379
    # The first of the best nights; the time is written to a hundredth of an hour.
    best = int(np.argmin(np.abs(ut - MIDNIGHT_UT_HOURS)))
    hundredths = round(100 * float(ut[best]))
    yearly_s = 3.075 + 1.336 * np.sin(np.radians(15.0 * ra_hours)) * np.tan(np.radians(dec_deg))
    ra_of_date = ra_hours + yearly_s * days[best] / 365.25 / 3600.0
    hour_angle = np.mod(sidereal_at_0h[best] + 1.0027379 * hundredths / 100 - ra_of_date + 12.0, 24.0) - 12.0
    return f"{first_day + best}T{hundredths // 100:02d}:{hundredths % 100:02d}:00", float(hour_angle)


def _cos_zenith_distance(hour_angle_hours: float, dec_deg: float) -> float:
    latitude, dec, angle = np.radians([SITE_LATITUDE_DEG, dec_deg, 15.0 * hour_angle_hours])
    return float(np.sin(latitude) * np.sin(dec) + np.cos(latitude) * np.cos(dec) * np.cos(angle))


def _sexagesimal(value: float, wrap: int, decimals: int) -> tuple[int, int, float]:
    """Whole units, minutes and rounded seconds; 59.999 s never becomes 60."""
    steps = 10**decimals
    total = round(value * 3600 * steps) % (wrap * 3600 * steps)
    whole, rest = divmod(total, 3600 * steps)
    minutes, seconds = divmod(rest, 60 * steps)
    return whole, minutes, seconds / steps


def _decimal(words: tuple[int, int, float]) -> float:
    return words[0] + words[1] / 60 + words[2] / 3600
