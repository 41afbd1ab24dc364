"""CDS X-Match: a list of positions against a table of VizieR, every match of each."""

import io
from contextlib import redirect_stdout
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np

from vascodb.errors import InputError
from vascodb.loaders.client.answers import PositionAnswer, Positions, RawTable, position_answer, read_csv, read_votable
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.client.session import EvidenceSession
from vascodb.loaders.registry import CatalogDefinition, SourceBinding
from vascodb.loaders.sources.lists import list_evidence, nearest_only, refuse_repeated, separation_arcsec
from vascodb.loaders.tables import WrongUnitError, check_unit

with redirect_stdout(io.StringIO()):
    # It prints that one of its optional libraries is not there.
    from astroquery.xmatch import XMatchClass

__all__ = ["XMatchSource"]

_ROW_ID, _RA, _DEC = "row_id", "asked_ra", "asked_dec"
_DISTANCE = "angDist"
# Nearer than that, rounding and motion hide the unit of a distance.
_TELLING_ARCSEC = 0.2
_SERVICES_EPOCH_JYEAR = 2000.0


class _XMatch(XMatchClass):  # type: ignore[misc]
    def is_table_available(self, table_id: object) -> bool:
        """Names are tables at the service, which says so itself if they are not; the library would fetch its list."""
        return isinstance(table_id, str)


@dataclass(frozen=True)
class XMatchSource:
    """Asks for all matches of each position, not for the best, within a radius.

    The service compares positions at epoch J2000.0, to which it has moved the catalogues that have
    proper motions.

    Parameters
    ----------
    definition : `CatalogDefinition`
        The catalogue.
    binding : `SourceBinding`
        How the service publishes it.
    settings : `ServiceSettings`
        The service.
    """

    definition: CatalogDefinition
    binding: SourceBinding
    settings: ServiceSettings

    def __post_init__(self) -> None:
        if self.binding.where:
            raise InputError(
                f"{self.definition.name}: {self.settings.title} takes no conditions on columns; "
                f"ask for it elsewhere: {', '.join(self.definition.via)}"
            )

    def parameters(self, positions: Positions, radius_arcsec: float) -> dict[str, Any]:
        """What is asked, with the list itself as number and hash."""
        return self._options() | {"cat2": self._table} | list_evidence(positions, radius_arcsec)

    def ask_positions(
        self, session: EvidenceSession, endpoint: str, positions: Positions, radius_arcsec: float
    ) -> PositionAnswer:
        """Ask once; raises `LookupFailure` for anything but a whole, sound answer."""
        refuse_repeated(positions)
        xmatch = _XMatch()
        xmatch._session, xmatch.URL = session, endpoint
        response = xmatch.query_async(
            io.StringIO(_as_csv(positions)),
            self._table,
            radius_arcsec * u.arcsec,
            colRA1=_RA,
            colDec1=_DEC,
            cache=False,
            **self._options(),
        )
        raw = self._read(response.content)
        answer = position_answer(
            raw, self.definition, self.binding, positions, radius_arcsec, self.settings.row_cap, _ROW_ID
        )
        _refuse_other_unit(raw, answer, positions)
        return nearest_only(answer, positions) if self.binding.nearest_only else answer

    @property
    def _table(self) -> str:
        return f"vizier:{self.binding.table}"

    def _options(self) -> dict[str, Any]:
        # A VOTable says where it ends, which CSV does not.
        return {
            "selection": "all",
            "MAXREC": self.settings.row_cap,
            "RESPONSEFORMAT": "votable",
            "cols1": _ROW_ID,
            "cols2": ",".join(self.binding.columns),
        }

    def _read(self, body: bytes) -> RawTable:
        if body.lstrip()[:1] == b"<":
            return read_votable(body)
        return read_csv(body, text_columns=tuple(self.definition.columns.designation))


def _as_csv(positions: Positions) -> str:
    rows = zip(positions.row_id.tolist(), positions.ra_deg.tolist(), positions.dec_deg.tolist(), strict=True)
    return f"{_ROW_ID},{_RA},{_DEC}\n" + "".join(f"{number},{ra!r},{dec!r}\n" for number, ra, dec in rows)


def _refuse_other_unit(raw: RawTable, answer: PositionAnswer, positions: Positions) -> None:
    """The service's distances are in arcsec, also where the format cannot say so."""
    if raw.said_empty:
        return
    if _DISTANCE not in raw.rows.column_names:
        raise LookupFailure(Cause.MISSING_COLUMN, f"no column {_DISTANCE}")
    try:
        check_unit(_DISTANCE, raw.units.get(_DISTANCE), u.arcsec)
        said = np.asarray(raw.rows[_DISTANCE].to_pandas(), dtype=np.float64)
    except WrongUnitError as error:
        raise LookupFailure(Cause.WRONG_UNIT, str(error)) from error
    except (ValueError, TypeError) as error:
        raise LookupFailure(Cause.BAD_ROWS, f"column {_DISTANCE} holds no numbers: {error}") from error
    distance = separation_arcsec(answer, positions)
    motion_masyr = np.hypot(*(np.nan_to_num(answer.table[name].to_numpy()) for name in ("pmra_masyr", "pmdec_masyr")))
    moved_arcsec = motion_masyr * np.abs(answer.table["epoch_jyear"].to_numpy() - _SERVICES_EPOCH_JYEAR) / 1000.0
    telling = (distance > _TELLING_ARCSEC) & (moved_arcsec < _TELLING_ARCSEC / 2)
    if telling.any() and not 0.1 < np.median(said[telling] / distance[telling]) < 10.0:
        raise LookupFailure(Cause.WRONG_UNIT, f"column {_DISTANCE} is not in arcsec, or not the distance of the rows")
