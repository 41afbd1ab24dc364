"""CDS X-Match: ``/xmatch/api/v1/sync``, an uploaded list against a table of VizieR, cut silently at its cap."""

import io
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from astropy.io import ascii as text_tables
from astropy.io.votable import parse_single_table
from astropy.table import MaskedColumn, Table, hstack

from servers import content
from servers.http import Request, ServiceServer, Upload
from servers.skytable import SkyTable
from servers.tableformats import VOTABLE_TYPE, csv, error_votable, votable
from servers.transport import Answer

_MOST_ARCSEC = 180.0


class XMatchServer(ServiceServer):
    """X-Match over tables in memory; its address ends with ``/sync``.

    Parameters
    ----------
    tables
        Tables such as ``I/355/gaiadr3``, asked for as ``vizier:I/355/gaiadr3``.
    cap
        Most rows of an answer [rows]; what is more is left out without a word.
    upload_limit
        Most rows of an uploaded list; longer ones are refused with 400.
    """

    protocol: ClassVar[str] = "xmatch"
    base_path: ClassVar[str] = "/xmatch/api/v1/sync"

    def __init__(
        self, tables: Sequence[SkyTable], *, cap: int | None = 2_000_000, upload_limit: int | None = None
    ) -> None:
        super().__init__()
        self.tables = {table.name: table for table in tables}
        self.cap = cap
        self.upload_limit = upload_limit

    def is_data_request(self, request: Request) -> bool:
        """Tell whether a match is asked for, not the list of tables."""
        return request.method == "POST" and request.path == self.base_path

    def answer(self, request: Request, fault: str | None) -> Answer:
        """Answer a match, or the list of tables."""
        if request.path.endswith("/tables") or request.first("action") == "getVizieRTableNames":
            return Answer(("\n".join(["simbad", *self.tables]) + "\n").encode())
        if request.path != self.base_path:
            return Answer(b"not found\n", 404)
        if fault == "service_error":
            return Answer(error_votable(content.SERVICE_ERROR), 200, VOTABLE_TYPE)
        try:
            rows, ra_column, dec_column = self._match(request)
        except (ValueError, KeyError, TypeError) as problem:
            return _refusal(str(problem))
        rows = content.spoil_rows(rows, fault, ra_column, dec_column)
        if fault == "exactly_cap":
            rows = content.exactly(rows, self._cap(request))
        elif fault == "overflow":
            rows = content.half(rows)
        rows = rows[: self._cap(request)]
        if request.first("RESPONSEFORMAT", "votable").lower() == "csv":
            return Answer(csv(rows), 200, "text/csv")
        body = votable(rows, serialization="tabledata", data=fault != "header_only")
        return Answer(body, 200, VOTABLE_TYPE)

    def _cap(self, request: Request) -> int | None:
        asked = request.first("MAXREC")
        caps = [cap for cap in (self.cap, int(asked) if asked else None) if cap is not None]
        return min(caps) if caps else None

    def _match(self, request: Request) -> tuple[Table, str, str]:
        if request.first("request").lower() != "xmatch":
            raise ValueError("parameter request=xmatch is missing")
        radius_arcsec = float(request.first("distMaxArcsec"))
        if not 0 < radius_arcsec <= _MOST_ARCSEC:
            raise ValueError(f"distMaxArcsec={radius_arcsec} is not between 0 and {_MOST_ARCSEC:.0f}")
        name = request.first("cat2").removeprefix("vizier:")
        sky = self.tables.get(name)
        if sky is None:
            raise ValueError(f"cat2: table {name!r} does not exist")
        upload = request.files.get("cat1")
        if upload is None:
            raise ValueError("cat1: an uploaded table is due")
        listed = _read(upload)
        if self.upload_limit is not None and len(listed) > self.upload_limit:
            raise ValueError(f"cat1 has {len(listed)} rows, at most {self.upload_limit} are accepted")
        ra = _degrees(listed, request.first("colRA1"))
        dec = _degrees(listed, request.first("colDec1"))
        here, there = sky.pairs(ra, dec, radius_arcsec / 3600.0)
        distance = sky.separation_deg(there, ra[here], dec[here]) * 3600.0
        order = np.lexsort((distance, here))  # as the service: list by list row, the nearest first
        here, there, distance = here[order], there[order], distance[order]
        found, matched = listed[here], sky.table[there]
        names = {column: f"{column}_2" if column in listed.colnames else column for column in matched.colnames}
        for old, new in names.items():
            if old != new:
                matched.rename_column(old, new)
        distances = Table({"angDist": MaskedColumn(np.round(distance, 6), unit="arcsec")})
        rows = hstack([distances, found, matched], metadata_conflicts="silent")
        return rows, names[sky.ra_column], names[sky.dec_column]


def _read(upload: Upload) -> Table:
    if upload.content.lstrip()[:1] == b"<":
        return parse_single_table(io.BytesIO(upload.content)).to_table(use_names_over_ids=True)
    return text_tables.read(upload.content.decode(), format="csv", fast_reader=True)


def _degrees(table: Table, column: str) -> Any:
    if column not in table.colnames:
        raise ValueError(f"cat1 has no column {column!r}")
    return np.ma.filled(np.ma.asarray(table[column], dtype=float), np.nan)


def _refusal(message: str) -> Answer:
    body = error_votable(message).replace(b'<INFO name="QUERY_STATUS"', b'<INFO ID="QUERY_STATUS" name="QUERY_STATUS"')
    return Answer(body, 400, VOTABLE_TYPE)
