"""What to simulate: the sky position, the number of objects of each kind, the plate and the seed."""

from dataclasses import dataclass, replace
from typing import Any, Self

from vascodb.errors import InputError

__all__ = ["HIGH_RESOLUTION_SCAN", "STANDARD_SCAN", "Scan", "SimulationSpec"]

PLATE_SCALE_ARCSEC_MM = 67.2


@dataclass(frozen=True)
class Scan:
    """One way in which the plates were scanned.

    Parameters
    ----------
    n_x, n_y : int
        Pixels of the whole plate.
    pixel_um : float
        Pixel size on the plate, micrometres.
    centre_um : float
        The header's ``PPO3`` and ``PPO6``: the plate centre on the scan, micrometres.
    """

    n_x: int
    n_y: int
    pixel_um: float
    centre_um: float

    @property
    def scale_arcsec_px(self) -> float:
        """Nominal pixel scale, arcsec per pixel."""
        return PLATE_SCALE_ARCSEC_MM * self.pixel_um / 1000.0


# 804 of 932 plate headers, and the 116 fine scans of the southern plates.
STANDARD_SCAN = Scan(14000, 13999, 25.2845, 177500.0)
HIGH_RESOLUTION_SCAN = Scan(23040, 23040, 15.0295, 173140.0)


@dataclass(frozen=True)
class SimulationSpec:
    """A simulated plate: what is asked for; the same specification gives the same files.

    Parameters
    ----------
    seed : int
        Seed of every random number.
    ra_deg, dec_deg : float
        Centre of the image, J2000.
    size_arcmin : float
        Side of the image; not used for a whole plate.
    full_plate : bool
        Simulate the whole 6.6 degree plate, its centre at ``ra_deg, dec_deg``.
    high_resolution : bool
        1.01 arcsec per pixel instead of 1.70.
    plate_offset_deg : tuple of 2 float
        Where the image lies on its plate: east and north of the plate centre.
    n_stars : int
        About as many stars on the image down to one magnitude below the plate limit.
    n_high_pm, n_blends, n_vanished, n_vanished_blended, n_defects, n_trails : int
        Injected objects of each kind; see `vascodb.simulate.truth`. A blend is a pair.
    cluster_fraction : float
        Part of the stars that is in a cluster at the image centre.
    cluster_radius_arcmin : float
        One sigma of that cluster.
    psf_fwhm_arcsec : float
        Width of a star at the plate centre, before the scanner's own blur.
    exposure_minutes : float
        Length of the exposure.
    year : int
        Year of the exposure; the night is one in which the field culminates around midnight.
    region, plate_id : str
        Names of the plate, which no real plate has.
    reference_pad_arcmin : float
        How far the reference catalogue reaches beyond the corners of the image.
    """

    seed: int = 1
    ra_deg: float = 132.85
    dec_deg: float = 11.8
    size_arcmin: float = 20.0
    full_plate: bool = False
    high_resolution: bool = False
    plate_offset_deg: tuple[float, float] = (-0.9, 0.7)
    n_stars: int = 1500
    n_high_pm: int = 10
    n_blends: int = 15
    n_vanished: int = 40
    n_vanished_blended: int = 6
    n_defects: int = 24
    n_trails: int = 0
    cluster_fraction: float = 0.0
    cluster_radius_arcmin: float = 3.0
    psf_fwhm_arcsec: float = 2.7
    exposure_minutes: float = 50.0
    year: int = 1954
    region: str = "XE999"
    plate_id: str = "99ZZ"
    reference_pad_arcmin: float = 6.0

    def __post_init__(self) -> None:
        counts = (self.n_stars, self.n_high_pm, self.n_blends, self.n_vanished, self.n_vanished_blended,
                  self.n_defects, self.n_trails)  # fmt: skip
        checks = {
            f"the seed must be 0 or more, not {self.seed}": self.seed >= 0,
            f"the centre {self.ra_deg}, {self.dec_deg} is not on the sky":
                0 <= self.ra_deg < 360 and -90 <= self.dec_deg <= 90,
            f"the image must be 4 arcmin or larger, not {self.size_arcmin}": self.full_plate or self.size_arcmin >= 4,
            "the numbers of objects must not be negative": min(counts) >= 0,
            f"the cluster's part of the stars must be 0 to 1, not {self.cluster_fraction}":
                0 <= self.cluster_fraction <= 1,
            f"the stars must be 1 to 10 arcsec wide, not {self.psf_fwhm_arcsec}": 1 <= self.psf_fwhm_arcsec <= 10,
            f"the plates were taken from 1949 to 1958, not in {self.year}": 1949 <= self.year <= 1958,
            f"the exposure must last 1 to 120 minutes, not {self.exposure_minutes}": 1 <= self.exposure_minutes <= 120,
            "the padding of the reference catalogue must be 4 arcmin or more, as stars move by up to 3.2 arcmin":
                self.reference_pad_arcmin >= 4,
        }  # fmt: skip
        for message, holds in checks.items():
            if not holds:
                raise InputError(f"simulation: {message}")

    @property
    def scan(self) -> Scan:
        """The scan's geometry."""
        return HIGH_RESOLUTION_SCAN if self.high_resolution else STANDARD_SCAN

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of the image."""
        if self.full_plate:
            return self.scan.n_y, self.scan.n_x
        side = round(self.size_arcmin * 60.0 / self.scan.scale_arcsec_px)
        return side, side

    @classmethod
    def demo(cls, **changes: Any) -> Self:
        """A small tile with something of every kind; the whole pipeline runs on it in seconds."""
        return replace(cls(), **changes)

    @classmethod
    def dense(cls, **changes: Any) -> Self:
        """A 60 arcmin tile with more than 20,000 stars above the plate limit, for measurements.

        Its stars are as wide as on XE410 (PSFEx: 3.3 px there, 3.4 px here). Below 3 px, as on XE486 (2.9 px), PSFEx
        takes tens of milliseconds per star; ``psf_fwhm_arcsec=2.7`` makes such a tile.
        """
        return replace(
            cls(size_arcmin=60.0, n_stars=50_000, n_high_pm=60, n_blends=100, n_vanished=200,
                n_vanished_blended=20, n_defects=120, n_trails=1, psf_fwhm_arcsec=3.6),
            **changes,
        )  # fmt: skip

    @classmethod
    def plate(cls, **changes: Any) -> Self:
        """A whole plate."""
        return replace(
            cls(full_plate=True, plate_offset_deg=(0.0, 0.0), n_stars=75_000, n_high_pm=200, n_blends=400,
                n_vanished=500, n_vanished_blended=50, n_defects=1000, n_trails=2),
            **changes,
        )  # fmt: skip
