"""A toy sky in one transaction: images, detections, reference sources, look-ups with coverage, runs."""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import astropy.units as u
import numpy as np
from astropy.coordinates import Latitude, Longitude
from mocpy import MOC
from sqlalchemy import Connection, text

from vascodb.pipeline.judging import judge
from vascodb.pipeline.runs import ensure_run
from vascodb.plates.footprint import cells, multirange
from vascodb.profiles import Profile, load_profile

# An undisturbed star: passes every gate of every profile.
STAR: dict[str, Any] = {
    "xwin_image": 100.0, "ywin_image": 100.0, "x_image": 100.0, "y_image": 100.0, "elongation": 1.1, "ellipticity": 0.1,
    "fwhm_image": 3.5, "flux_auto": 1e5, "mag_auto": -12.5, "flux_aper": 9e4, "class_star": 0.9, "snr_win": 50.0,
    "spread_model": 0.0, "spreaderr_model": 0.001, "flags": 0,
    "xmin_image": 96, "xmax_image": 104, "ymin_image": 96, "ymax_image": 104,
}  # fmt: skip


_GATES = {"gaia", "flags", "snr", "mad_clip", "spread_model", "fwhm", "elongation", "extent"}


def gates_of(name: str) -> Profile:
    """The Gaia veto and the gates of a profile: what needs no other catalogue, image or pixels."""
    profile = load_profile(name)
    return profile.model_copy(update={"stages": tuple(s for s in profile.stages if s.stage in _GATES)})


class ToySky:
    """Puts rows straight into the tables, as the loaders would, within the caller's transaction."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self.extraction_id = 0
        self._ids = itertools.count(1)

    def execute(self, sql: str, **values: Any) -> Any:
        """Run SQL with named parameters."""
        return self.connection.execute(text(sql), values)

    def scalar(self, sql: str, **values: Any) -> Any:
        """First column of the first row."""
        return self.connection.scalar(text(sql), values)

    def extraction(
        self,
        ra: float = 150.0,
        dec: float = 20.0,
        radius_deg: float = 0.5,
        epoch_jyear: float = 1952.0,
        scale_arcsec_px: float = 1.7,
    ) -> int:
        """An image of that part of the sky, extracted; without detections."""
        identity = next(self._ids)
        self.execute(
            """
            INSERT INTO plate.solution (solution_id, kind, tangent_ra, tangent_dec, crpix1, crpix2, cd)
            VALUES (:id, 'tan', :ra, :dec, 1, 1, '{-1,0,0,1}');
            INSERT INTO plate.tile VALUES ('tile_' || :id, :ra, :dec, 60);
            INSERT INTO plate.image (
                image_id, sha256, file_name, size_bytes, status, plate_id, survey, band, tile_id, naxis1, naxis2, ra,
                dec, radius_deg, footprint, scale_arcsec_px, wcs_kind, wcs_available, solution_id, epoch_jyear,
                time_quality, header, path
            )
            VALUES (
                :id, 'sha' || :id, 'toy.fits', 1, 'ok', 'XE001', 'POSSI-E', 'red', 'tile_' || :id, 10, 10, :ra, :dec,
                :radius, CAST(:footprint AS int8multirange), :scale, 'tan', '{tan}', :id, :epoch, 'single', '{}',
                '/toy.fits'
            );
            INSERT INTO vasco.extraction (
                extraction_id, image_id, config_name, config_sha256, sextractor_version, psfex_version,
                psf_stars_loaded, psf_stars_accepted, psf_fwhm_px, psf_chi2, n_detections, tool_warnings
            )
            VALUES (:id, :id, 'toy', 'toy', '0', '0', 9, 9, 3, 1, 0, '{}')
            """,
            id=identity, ra=ra, dec=dec, radius=radius_deg, epoch=epoch_jyear, scale=scale_arcsec_px,
            footprint=multirange(
                MOC.from_cone(Longitude(ra, u.deg), Latitude(dec, u.deg), radius=radius_deg * u.deg, max_depth=9)
            ),
        )  # fmt: skip
        return identity

    def copies(self, extraction_id: int, n: int) -> None:
        """Further images like one, extracted, without detections: enough of them fill many pages of their tables."""
        self.execute(
            """
            INSERT INTO plate.image
            SELECT (jsonb_populate_record(m, jsonb_build_object('image_id', k, 'sha256', 'copy' || k))).*
            FROM plate.image AS m, generate_series(1000001, 1000000 + :n) AS k
            WHERE m.image_id = :e;
            INSERT INTO vasco.extraction
            SELECT (jsonb_populate_record(m, jsonb_build_object('image_id', k, 'extraction_id', k))).*
            FROM vasco.extraction AS m, generate_series(1000001, 1000000 + :n) AS k
            WHERE m.extraction_id = :e
            """,
            e=extraction_id, n=n,
        )  # fmt: skip

    def detections(
        self, extraction_id: int, ra: Iterable[float], dec: Iterable[float], first: int = 1, **columns: Any
    ) -> None:
        """Detections numbered from ``first``; a column is one value for all or one for each, a star's by default."""
        ra, dec = np.atleast_1d(np.asarray(ra, float)), np.atleast_1d(np.asarray(dec, float))
        arrays: dict[str, Any] = {
            "number": np.arange(first, first + len(ra)), "ra": ra, "dec": dec, "ra_raw": ra, "dec_raw": dec,
            "hpx29": cells(ra, dec),
        }  # fmt: skip
        for name, value in (STAR | columns).items():
            arrays[name] = np.broadcast_to(np.asarray(value, dtype=object), ra.shape)
        names = list(arrays)
        self.execute(
            f"INSERT INTO vasco.detection (extraction_id, {', '.join(names)}) "
            f"SELECT :extraction_id, * FROM unnest({', '.join(f'CAST(:{n} AS {_type(n)})' for n in names)}) AS t "
            "ORDER BY q3c_ang2ipix(t.ra, t.dec)".replace("AS t ORDER", f"AS t ({', '.join(names)}) ORDER"),
            extraction_id=extraction_id,
            **{name: array.tolist() for name, array in arrays.items()},
        )

    def sources(
        self,
        catalog: str,
        ra: Iterable[float],
        dec: Iterable[float],
        pmra: Iterable[float | None] | None = None,
        pmdec: Iterable[float | None] | None = None,
        epoch_jyear: float = 2016.0,
        mag: float | Sequence[float] = 15.0,
        source_id: Iterable[int] | None = None,
    ) -> None:
        """Reference sources, numbered from 1; motions in mas/yr, None or NaN where there is none."""
        ra, dec = np.atleast_1d(np.asarray(ra, float)), np.atleast_1d(np.asarray(dec, float))
        nothing = [None] * len(ra)
        self.execute(
            f"""
            INSERT INTO ref."{catalog}" (
                source_id, ra, dec, ra_j1954, dec_j1954, epoch_jyear, pmra_masyr, pmdec_masyr, mag
            )
            SELECT s.source_id, s.ra, s.dec, p.ra_deg, p.dec_deg, :epoch, s.pmra, s.pmdec, s.mag
            FROM unnest(
                CAST(:source_id AS bigint[]), CAST(:ra AS float8[]), CAST(:dec AS float8[]), CAST(:pmra AS real[]),
                CAST(:pmdec AS real[]), CAST(:mag AS real[])
            ) AS s (source_id, ra, dec, pmra, pmdec, mag)
            CROSS JOIN LATERAL sky.propagate(s.ra, s.dec, s.pmra, s.pmdec, 1954.0 - :epoch) AS p
            ORDER BY q3c_ang2ipix(p.ra_deg, p.dec_deg)
            """,
            source_id=list(range(1, len(ra) + 1)) if source_id is None else list(source_id),
            ra=ra.tolist(), dec=dec.tolist(), pmra=nothing if pmra is None else _numbers(pmra),
            pmdec=nothing if pmdec is None else _numbers(pmdec), epoch=epoch_jyear,
            mag=np.broadcast_to(np.asarray(mag, float), ra.shape).tolist(),
        )  # fmt: skip

    def lookup(self, catalog: str, moc: MOC | None = None, complete: bool = True) -> int:
        """A look-up of a catalogue, covering a MOC (the whole sky by default) if it is complete."""
        identity = next(self._ids)
        self.execute(
            """
            INSERT INTO ref.lookup (
                lookup_id, catalog, kind, endpoint, parameters, region, status, rows_in, rows_kept, rows_rejected,
                overflow, complete, response_sha256
            )
            VALUES (:id, :catalog, 'file', 'toy.csv', '{}', 'toy', 'ok', 1, 1, 0, false, :complete, 'toy')
            """,
            id=identity, catalog=catalog, complete=complete,
        )  # fmt: skip
        if complete:
            ranges = f"{{[0,{12 * 4**29})}}" if moc is None else multirange(moc)
            self.execute(
                "SELECT ref.add_coverage(:c, :id, CAST(:r AS int8multirange))", c=catalog, id=identity, r=ranges
            )
        return identity

    def catalog(self, name: str, family: str = "toy", **columns: Any) -> str:
        """A catalogue of one's own: 5 arcsec match radius, a rim of 60, the whole sky; returns its name."""
        values = {
            "title": name, "epoch_jyear": 2000.0, "has_pm": False, "match_radius_arcsec": 5.0,
            "coverage_margin_arcsec": 60.0, "mag_band": "V", "depth_mag": 20.0, "service": "toy", "licence": "toy",
            "citation": "toy",
        } | columns  # fmt: skip
        self._insert("ref.catalog", {"catalog": name, "family": family} | values)
        self.execute("SELECT ref.create_source_table(:name)", name=name)
        return name

    def service_lookup(self, catalog: str, kind: str = "area", complete: bool = True, **columns: Any) -> int:
        """A look-up of a service, beside a canary of its own where it is complete; without coverage."""
        values = {
            "kind": kind, "endpoint": "http://toy", "service": "toy", "region": "toy", "parameters": "{}",
            "status": "ok", "rows_in": 1, "rows_kept": 1, "rows_rejected": 0, "overflow": False, "complete": complete,
            "response_sha256": "toy",
        }  # fmt: skip
        if not complete:
            values |= {"status": "failed", "cause": "timeout", "error": "no answer in 60 s", "response_sha256": None}
        elif kind in ("area", "list", "moving"):
            values["canary_id"] = self.service_lookup(catalog, "canary")
        values |= {"lookup_id": next(self._ids), "catalog": catalog} | columns
        self._insert("ref.lookup", values)
        return int(values["lookup_id"])

    def gap(self, catalog: str, moc: MOC | None = None, **columns: Any) -> int:
        """A look-up that failed for a MOC (the whole sky by default)."""
        identity = self.service_lookup(catalog, complete=False, **columns)
        self.execute(
            "SELECT ref.add_gap(:c, :id, CAST(:r AS int8multirange))",
            c=catalog, id=identity, r=f"{{[0,{12 * 4**29})}}" if moc is None else multirange(moc),
        )  # fmt: skip
        return identity

    def moving_look(
        self,
        catalog: str,
        image_id: int,
        ra: float,
        dec: float,
        radius_deg: float,
        objects: Sequence[Mapping[str, Any]] = (),
        complete: bool = True,
        **columns: Any,
    ) -> int:
        """A look-up for moving objects over an image; objects have ra, dec and any other column, numbered from 1."""
        identity = self.service_lookup(catalog, "moving", complete, **columns)
        self.execute(
            "INSERT INTO ref.moving_look VALUES (:id, :catalog, :image, :complete, :ra, :dec, :radius, 2434000, '675')",
            id=identity, catalog=catalog, image=image_id, complete=complete, ra=ra, dec=dec, radius=radius_deg,
        )  # fmt: skip
        for number, entry in enumerate(objects, start=1):
            row = {"lookup_id": identity, "source_id": number, "name": f"object {number}"} | dict(entry)
            self._insert("ref.moving_object", row)
        return identity

    def _insert(self, table: str, values: Mapping[str, Any]) -> None:
        places = ", ".join(f":{name}" for name in values)
        self.execute(f"INSERT INTO {table} ({', '.join(values)}) VALUES ({places})", **values)

    def match(self, extraction_id: int, catalog: str) -> Mapping[str, int]:
        """Match, as the pipeline does; returns the number of detections by state, and of rows written."""
        result = self.execute("SELECT * FROM stage.match(:id, :catalog)", id=extraction_id, catalog=catalog)
        return dict(result.mappings().one())

    def judge(self, profile: Profile, extraction_id: int) -> int:
        """Judge by a profile; returns the id of its run."""
        run_id = ensure_run(self.connection, profile)
        judge(self.connection, run_id, extraction_id)
        return run_id

    def outcomes(self, run_id: int, stage: str) -> dict[int, str]:
        """Outcome by number of detection."""
        rows = self.execute(
            "SELECT number, outcome FROM vasco.verdict WHERE run_id = :r AND stage = :s ORDER BY 1", r=run_id, s=stage
        )
        return {number: outcome for number, outcome in rows}

    def candidates(self, run_id: int) -> list[int]:
        """Numbers of the candidates of a run."""
        rows = self.execute("SELECT number FROM api.candidates WHERE run_id = :r ORDER BY number", r=run_id)
        return list(rows.scalars())


def _numbers(values: Iterable[float | None]) -> list[float | None]:
    return [None if value is None or np.isnan(value) else float(value) for value in values]


def _type(column: str) -> str:
    if column in ("number", "hpx29"):
        return "bigint[]"
    if column == "flags" or column[1:4] in ("min", "max"):
        return "smallint[]"
    return "float8[]"
