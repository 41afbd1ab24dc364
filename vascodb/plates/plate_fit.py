"""The residual solution of an image: fitted to stars of known position, stored, and applied to its detections."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from astropy.coordinates import angular_separation
from numpy.typing import NDArray
from pydantic import ValidationError
from sqlalchemy import Connection, text

from vascodb.bulk import advisory_lock
from vascodb.columns import read_columns
from vascodb.errors import InputError
from vascodb.ids import canonical_json
from vascodb.plates.footprint import cells
from vascodb.plates.residuals import FitKind, ResidualFit, rounded
from vascodb.plates.tangent_fit import PlateFitParameters, fit_tangent_plane, refused
from vascodb.plates.ties import Frame, Ties, best_catalog, read_frame, read_ties
from vascodb.plates.wcsfix import WcsfixParameters, fit_wcsfix

__all__ = ["ImageFit", "fit_image"]

Array = NDArray[np.float64]

_COLUMNS = (
    "accepted", "reason", "catalog", "epoch_jyear", "radius_arcsec", "n_eligible", "n_ties", "n_kept", "iterations",
    "degree", "tangent_ra", "tangent_dec", "unit_deg", "coef_x", "coef_y", "offset_ra_arcsec", "offset_dec_arcsec",
    "sigma_before_arcsec", "sigma_arcsec", "clip_arcsec", "largest_residual_arcsec", "worst_cell_arcsec", "coverage",
    "largest_shift_arcsec", "extrapolation_arcsec", "parameters",
)  # fmt: skip

_POSITIONS = dict.fromkeys(("number", "hpx29"), np.dtype(np.int64)) | dict.fromkeys(
    ("ra_raw", "dec_raw", "ra", "dec"), np.dtype(np.float64)
)


@dataclass(frozen=True)
class ImageFit:
    """What `fit_image` found and did.

    Parameters
    ----------
    fit : `ResidualFit`
        The fit, or why there is none.
    catalog : str or None
        Catalogue of the stars.
    stored : bool
        Whether the row in ``vasco.plate_fit`` is new or another than before.
    moved : int
        Detections whose best position is another than before; they are to be matched again.
    """

    fit: ResidualFit
    catalog: str | None
    stored: bool
    moved: int

    @property
    def changed(self) -> bool:
        """Whether anything was written."""
        return self.stored or self.moved > 0


def fit_image(
    connection: Connection,
    extraction_id: int,
    kind: FitKind = "plate_fit",
    parameters: Mapping[str, Any] | None = None,
    *,
    apply: bool = True,
) -> ImageFit:
    """Fit what is left between an image's own astrometric solution and stars of known position, and store it.

    An accepted ``plate_fit`` moves the best positions of all detections of the extraction; a refused one puts
    them back where the image's own solution has them. A ``wcsfix`` is only recorded. Ties are made at raw
    positions, so the same detections and stars give the same fit, and nothing is written a second time.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        A transaction, in which the extraction is locked.
    extraction_id : int
        The extraction, with its detections.
    kind : {'plate_fit', 'wcsfix'}, optional
        Ours, or the seeds'.
    parameters : mapping, optional
        Of `PlateFitParameters` or `WcsfixParameters`, where they are not to be the default.
    apply : bool, optional
        Without it a ``plate_fit`` is recorded, and best positions are the raw ones.

    Raises
    ------
    InputError
        If there is no such parameter, or it cannot have that value.
    """
    settings = _settings(kind, parameters or {})
    advisory_lock(connection, f"extraction {extraction_id}")
    frame = read_frame(connection, extraction_id)
    positions = _Positions.read(connection, extraction_id)
    catalog = best_catalog(connection, extraction_id, settings.family, settings.widest_arcsec, *settings.eligible)

    def ties_within(radius_arcsec: float) -> Ties:
        if catalog is None:
            return Ties(radius_arcsec, *np.empty((6, 0)))
        return read_ties(connection, extraction_id, catalog, radius_arcsec, *settings.eligible)

    if isinstance(settings, PlateFitParameters):
        found = fit_tangent_plane(ties_within(settings.radius_arcsec), frame, settings)
        found, best = _applied(found, positions, settings.shift_max_arcsec, settings.extrapolation_max_arcsec)
        moved = positions.move(connection, extraction_id, *(best if apply else positions.raw))
    else:
        found, _ = _applied(fit_wcsfix(ties_within, frame, settings), positions, np.inf, np.inf)
        moved = 0
    if found.n_ties == 0:
        catalog = None
    stored = _store(connection, {"extraction_id": extraction_id, "kind": kind}, _row(found, catalog, frame, settings))
    return ImageFit(found, catalog, stored, moved)


def _settings(kind: FitKind, parameters: Mapping[str, Any]) -> PlateFitParameters | WcsfixParameters:
    try:
        return (PlateFitParameters if kind == "plate_fit" else WcsfixParameters).model_validate(dict(parameters))
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{kind}, parameter {'.'.join(map(str, first['loc']))}: {first['msg']}") from error


@dataclass(frozen=True)
class _Positions:
    """Raw and best positions of all detections of an extraction."""

    number: NDArray[np.int64]
    ra_raw: Array
    dec_raw: Array
    ra: Array
    dec: Array
    hpx29: NDArray[np.int64]

    @classmethod
    def read(cls, connection: Connection, extraction_id: int) -> "_Positions":
        statement = "SELECT * FROM vasco.detection WHERE extraction_id = :id ORDER BY number"
        return cls(**read_columns(connection, statement, {"id": extraction_id}, _POSITIONS))

    @property
    def raw(self) -> tuple[Array, Array]:
        """Raw positions, degrees."""
        return self.ra_raw, self.dec_raw

    def move(self, connection: Connection, extraction_id: int, ra: Array, dec: Array) -> int:
        """Make these the best positions; returns how many were others before."""
        hpx29 = cells(ra, dec)
        moved = int(((self.ra != ra) | (self.dec != dec) | (self.hpx29 != hpx29)).sum())
        if moved:
            # By subscript, not by a join, whose size the planner cannot know in the transaction that wrote the rows.
            connection.execute(
                text("""
                    UPDATE vasco.detection AS d
                    SET ra = (CAST(:ra AS float8[]))[d.number], dec = (CAST(:dec AS float8[]))[d.number],
                        hpx29 = (CAST(:hpx29 AS bigint[]))[d.number]
                    WHERE d.extraction_id = :id
                """),
                {
                    "id": extraction_id,
                    "ra": self._by_number(ra),
                    "dec": self._by_number(dec),
                    "hpx29": self._by_number(hpx29),
                },
            )
            connection.execute(
                text("UPDATE vasco.extraction SET revision = revision + 1 WHERE extraction_id = :id"),
                {"id": extraction_id},
            )
        return moved

    def _by_number(self, values: Array | NDArray[np.int64]) -> str:
        dense = np.zeros(int(self.number[-1]), dtype=values.dtype)
        dense[self.number - 1] = values
        return "{" + ",".join(map(repr, dense.tolist())) + "}"


def _applied(
    found: ResidualFit, positions: _Positions, shift_max_arcsec: float, extrapolation_max_arcsec: float
) -> tuple[ResidualFit, tuple[Array, Array]]:
    """The fit with its largest correction, refused where that is too large or runs away, and what positions follow."""
    raw = positions.raw
    if found.solution is None:
        return found, raw
    corrected = found.solution.correct(*raw)
    largest = rounded(np.max(3600.0 * np.degrees(angular_separation(*map(np.radians, (*raw, *corrected))))))
    assert found.tie_shifts_arcsec is not None
    least, most = np.array(found.tie_shifts_arcsec).T[..., np.newaxis]
    shift = found.solution.shift_arcsec(*raw)
    beyond = rounded(np.max(np.maximum(least - shift, shift - most).clip(min=0)))
    if np.isfinite([largest, beyond]).all():
        found = replace(found, largest_shift_arcsec=largest, extrapolation_arcsec=beyond)
    if found.accepted and not largest <= shift_max_arcsec:
        found = refused(found, f"a correction of {largest:.2f} arcsec, up to {shift_max_arcsec:g} allowed")
    if found.accepted and not beyond <= extrapolation_max_arcsec:
        reason = f"corrections go {beyond:.2f} arcsec beyond those of ties, up to {extrapolation_max_arcsec:g} allowed"
        found = refused(found, reason)
    return found, corrected if found.accepted else raw


def _row(
    found: ResidualFit, catalog: str | None, frame: Frame, settings: PlateFitParameters | WcsfixParameters
) -> dict[str, Any]:
    row = {name: getattr(found, name) for name in _COLUMNS if hasattr(found, name)}
    tangent = (frame.ra, frame.dec) if isinstance(settings, PlateFitParameters) else (frame.tile_ra, frame.tile_dec)
    solution = found.solution
    offset = found.offset_arcsec or (None, None)
    return row | {
        "catalog": catalog,
        "epoch_jyear": frame.epoch_jyear,
        "tangent_ra": tangent[0],
        "tangent_dec": tangent[1],
        "unit_deg": frame.radius_deg if isinstance(settings, PlateFitParameters) else 1.0,
        "degree": solution and solution.degree,
        "coef_x": solution and list(solution.coef_x),
        "coef_y": solution and list(solution.coef_y),
        "offset_ra_arcsec": offset[0],
        "offset_dec_arcsec": offset[1],
        "parameters": settings.model_dump(mode="json"),
    }


def _store(connection: Connection, key: Mapping[str, Any], row: Mapping[str, Any]) -> bool:
    """Store the row of a fit unless it is there already, not even locked then; returns whether anything was written."""
    names = ", ".join(_COLUMNS)
    written = connection.execute(
        text(f"""
            INSERT INTO vasco.plate_fit (extraction_id, kind, {names})
            SELECT n.extraction_id, n.kind, {names}
            FROM jsonb_populate_record(NULL::vasco.plate_fit, CAST(:row AS jsonb)) AS n
            EXCEPT
            SELECT f.extraction_id, f.kind, {names}
            FROM vasco.plate_fit AS f
            WHERE f.extraction_id = :extraction_id AND f.kind = :kind
            ON CONFLICT (extraction_id, kind) DO UPDATE
            SET ({names}) = ROW ({", ".join(f"excluded.{name}" for name in _COLUMNS)})
        """),
        {**key, "row": canonical_json({**key, **row})},
    )
    return written.rowcount > 0
