"""What every loader writes: sources that are new, the look-up as evidence, and the coverage it earned."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from itertools import chain
from typing import Any

import numpy as np
import psycopg2
import pyarrow as pa
import pyarrow.compute as pc
from mocpy import MOC
from sqlalchemy import Connection, text

from vascodb.bulk import advisory_lock, staged
from vascodb.copying import copy_rows
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.ids import canonical_json
from vascodb.loaders.survey_epoch import at_survey_epoch
from vascodb.loaders.tables import CORE_SCHEMA
from vascodb.plates.footprint import multirange

__all__ = [
    "LookupRecord",
    "add_coverage",
    "copy_sources",
    "finish_load",
    "merge_sources",
    "record_lookup",
    "stored_columns",
]

_STORED_SCHEMA = CORE_SCHEMA.append(pa.field("ra_j1954", pa.float64())).append(pa.field("dec_j1954", pa.float64()))

# Services round what they send, each in its own way: a source stored already is the same one within these.
_SAME_POSITION_ARCSEC = 0.010
_SAME_MOTION_MASYR = 1.0
_SAME_MAG = 0.01
_SAME_EPOCH_YR = 0.01


@dataclass(frozen=True)
class LookupRecord:
    """One look-up as it is kept; the columns of ``ref.lookup`` say what the fields mean.

    ``complete`` may only be true where the answer is known to hold everything in the region; the
    database refuses it together with a failure, an overflow, or as many rows as the cap.
    """

    lookup_id: int
    catalog: str
    kind: str
    endpoint: str
    region: str
    parameters: Mapping[str, Any] = field(default_factory=dict)
    status: str = "ok"
    complete: bool = False
    rows_in: int = 0
    rows_rejected: int = 0
    row_cap: int | None = None
    overflow: bool = False
    response_sha256: str | None = None
    response_bytes: int | None = None
    cause: str | None = None
    error: str | None = None
    service: str | None = None
    http_status: int | None = None
    attempts: int = 1
    seconds: float | None = None
    canary_id: int | None = None


def merge_sources(
    database: Database,
    connection: Connection,
    catalog_name: str,
    sources: pa.Table | Iterable[pa.Table],
    origin: object,
) -> int:
    """Add the sources that a catalogue does not have yet, in the order of its sky index.

    A source that is stored already stays as it is. Equal means within the rounding of services:
    10 mas, 1 mas/yr, 0.01 mag.

    Parameters
    ----------
    database : `Database`
        Where to.
    connection : `~sqlalchemy.Connection`
        The transaction of `loading`, which holds the advisory lock ``ref.<catalog>``.
    catalog_name : str
        A registered catalogue.
    sources : `pyarrow.Table`, or iterable of them
        Checked rows with `vascodb.loaders.tables.CORE_SCHEMA`; no id twice.
    origin : object
        File or service, for the message of an error.

    Returns
    -------
    int
        Number of sources that are new.

    Raises
    ------
    InputError
        If a stored source has other values, or a source occurs more than once.
    """
    tables = [sources] if isinstance(sources, pa.Table) else sources
    batches = (batch for table in tables for batch in stored_columns(table).to_batches())
    rows = pa.RecordBatchReader.from_batches(_STORED_SCHEMA, batches)
    with staged(database, connection, rows, catalog_name) as staging:
        n_staged, n_stored = _refuse_contradictions(connection, catalog_name, staging, origin)
        columns = ", ".join(_STORED_SCHEMA.names)
        n_new = connection.execute(
            text(f"""
                INSERT INTO ref."{catalog_name}" ({columns})
                SELECT {columns}
                FROM {staging} AS s
                ORDER BY q3c_ang2ipix(s.ra_j1954, s.dec_j1954)
                ON CONFLICT (source_id) DO NOTHING
            """)
        ).rowcount
    if n_new + n_stored != n_staged:
        raise InputError(f"{origin}: {n_staged - n_stored - n_new} rows repeat a source that occurs before")
    return n_new


def copy_sources(connection: Connection, catalog_name: str, tables: Iterable[pa.Table]) -> int | None:
    """Add sources of which most likely none is stored: straight into the catalogue, in the order given.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        The transaction, made inside `plain_waiting`; it shares the advisory lock ``ref.<catalog>``.
    catalog_name : str
        A registered catalogue.
    tables : iterable of `pyarrow.Table`
        Checked rows with `vascodb.loaders.tables.CORE_SCHEMA`, in the order of some curve over the sky.

    Returns
    -------
    int or None
        Number of sources; none if one of them is stored already or comes twice, and nothing was added:
        `merge_sources` tells which it is.
    """
    rows = iter(tables)
    first = next(rows, None)
    if first is None:
        return 0
    # A look at a few saves most of the copying that the unique index would undo.
    some_ids = first["source_id"].to_numpy()[:: max(1, first.num_rows // 64)].tolist()
    is_stored = text(f'SELECT EXISTS (SELECT FROM ref."{catalog_name}" WHERE source_id = ANY (:ids))')
    if connection.scalar(is_stored, {"ids": some_ids}):
        return None
    savepoint = connection.begin_nested()
    try:
        n_rows = copy_rows(connection, f'ref."{catalog_name}"', map(stored_columns, chain([first], rows)))
    except psycopg2.errors.UniqueViolation:
        savepoint.rollback()
        return None
    savepoint.commit()
    return n_rows


def stored_columns(sources: pa.Table) -> pa.Table:
    """The columns of a source table from the core columns: positions at the survey's epoch are added."""
    names = ("ra", "dec", "pmra_masyr", "pmdec_masyr", "epoch_jyear")
    ra_deg, dec_deg = at_survey_epoch(*(pc.fill_null(sources[name], np.nan).to_numpy() for name in names))
    added = sources.append_column("ra_j1954", pa.array(ra_deg)).append_column("dec_j1954", pa.array(dec_deg))
    return added.select(_STORED_SCHEMA.names)


def _refuse_contradictions(connection: Connection, catalog_name: str, staging: str, origin: object) -> tuple[int, int]:
    """Refuse rows that are stored with other values; the number of rows, and of those that are stored alike."""
    found = connection.execute(
        text(f"""
            SELECT
                (SELECT count(*) FROM {staging}) AS n_staged,
                count(*) AS n_stored,
                count(*) FILTER (WHERE contradicts) AS n_contradicting,
                min(source_id) FILTER (WHERE contradicts) AS example
            FROM (
                SELECT
                    source_id,
                    (s.ra, s.dec, s.epoch_jyear, s.pmra_masyr, s.pmdec_masyr, s.mag)
                        IS DISTINCT FROM (r.ra, r.dec, r.epoch_jyear, r.pmra_masyr, r.pmdec_masyr, r.mag)
                    AND NOT (
                        sky.separation_arcsec(s.ra, s.dec, r.ra, r.dec) <= :position
                        AND abs(s.epoch_jyear - r.epoch_jyear) <= :epoch
                        AND (s.pmra_masyr IS NULL) = (r.pmra_masyr IS NULL)
                        AND (s.mag IS NULL) = (r.mag IS NULL)
                        AND coalesce(abs(s.pmra_masyr - r.pmra_masyr), 0) <= :motion
                        AND coalesce(abs(s.pmdec_masyr - r.pmdec_masyr), 0) <= :motion
                        AND coalesce(abs(s.mag - r.mag), 0) <= :mag
                    ) AS contradicts
                FROM {staging} AS s
                JOIN ref."{catalog_name}" AS r USING (source_id)
            ) AS both_have
        """),
        # A hair more, so that what differs by just the last digit that is sent passes in float32 too.
        {
            "position": _SAME_POSITION_ARCSEC * 1.001,
            "epoch": _SAME_EPOCH_YR,
            "motion": _SAME_MOTION_MASYR * 1.001,
            "mag": _SAME_MAG * 1.001,
        },
    ).one()
    if found.n_contradicting:
        raise InputError(
            f"{origin}: {found.n_contradicting} sources are stored in {catalog_name} with other values, "
            f"such as {found.example}"
        )
    return found.n_staged, found.n_stored


def record_lookup(connection: Connection, record: LookupRecord) -> None:
    """Put a look-up on record, whether it went well or not; the same id again changes nothing."""
    values = asdict(record) | {
        "parameters": canonical_json(dict(record.parameters)),
        "rows_kept": record.rows_in - record.rows_rejected,
    }
    columns = ", ".join(values)
    placeholders = ", ".join(f":{name}" for name in values)
    connection.execute(
        text(f"INSERT INTO ref.lookup ({columns}) VALUES ({placeholders}) ON CONFLICT (lookup_id) DO NOTHING"), values
    )


def add_coverage(connection: Connection, catalog_name: str, lookup_id: int, moc: MOC) -> int:
    """Add sky to what a catalogue is known to cover, in the name of a complete look-up that is on record.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        The transaction; it keeps other loads of this catalogue from adding coverage until it ends.
    catalog_name : str
        A registered catalogue.
    lookup_id : int
        The look-up.
    moc : `~mocpy.MOC`
        The sky, without its rim; see `Region.covered`.

    Returns
    -------
    int
        Number of ranges that were not covered yet.
    """
    advisory_lock(connection, f"ref.{catalog_name} coverage")
    added = connection.scalar(
        text("SELECT ref.add_coverage(:catalog, :lookup_id, CAST(:ranges AS int8multirange))"),
        {"catalog": catalog_name, "lookup_id": lookup_id, "ranges": multirange(moc)},
    )
    return int(added or 0)


def finish_load(database: Database, catalog_name: str) -> None:
    """Bring statistics and visibility up to date; once, after the last transaction of a load."""
    with database.autocommit() as connection:
        connection.execute(text(f'VACUUM (FREEZE, ANALYZE) ref."{catalog_name}"'))
        connection.execute(text("VACUUM (ANALYZE) ref.coverage"))
