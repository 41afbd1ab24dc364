"""Load a catalogue file that the user vouches for into ``ref.<catalog>``, with its evidence and coverage."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlalchemy import Connection, text

from vascodb.bulk import advisory_lock, loading
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.ids import content_id, file_sha256
from vascodb.loaders.regions import Region
from vascodb.loaders.registry import CatalogDefinition
from vascodb.loaders.store import LookupRecord, add_coverage, finish_load, merge_sources, record_lookup
from vascodb.loaders.tables import read_sources

__all__ = ["ReferenceLoad", "load_reference"]


@dataclass(frozen=True)
class ReferenceLoad:
    """What `load_reference` did.

    Parameters
    ----------
    catalog : str
        The catalogue.
    rows_in, rows_new : int
        Rows in the file, and how many of them the catalogue did not have yet.
    covered_sqdeg : float
        Sky the file vouches for, without its rim.
    """

    catalog: str
    rows_in: int
    rows_new: int
    covered_sqdeg: float


def load_reference(
    database: Database,
    definition: CatalogDefinition,
    path: Path,
    region: Region,
    overrides: Mapping[str, str] | None = None,
) -> ReferenceLoad:
    """Load sources from a file, and record that the catalogue is known in a region.

    Either everything is stored or nothing: sources, the look-up as evidence, and the coverage come
    in one transaction. The same file for the same region again writes nothing.

    Parameters
    ----------
    database : `Database`
        Where to.
    definition : `CatalogDefinition`
        Which catalogue the file is of.
    path : `~pathlib.Path`
        The file; see `read_sources`.
    region : `Region`
        The sky for which the user vouches that the file holds all of the catalogue's sources.
    overrides : mapping of str to str, optional
        Names of columns; see `read_sources`.

    Raises
    ------
    InputError
        If the file is bad, has no source in the region, or contradicts what is stored.
    """
    table = read_sources(path, definition, overrides)
    if not region.contains(table["ra"].to_numpy(), table["dec"].to_numpy()).any():
        raise InputError(
            f"{path}: none of its {table.num_rows} sources is in the {region.description}; is it the right sky?"
        )
    moc = region.covered(definition.coverage_margin_arcsec)
    if moc.empty():
        raise InputError(
            f"{path}: the {region.description} is too small; nothing of it lies "
            f"{definition.coverage_margin_arcsec:g} arcsec or more inside its rim"
        )
    sha256 = file_sha256(path)
    lookup_id = content_id("lookup", definition.name, sha256, region.description, dict(overrides or {}))
    with loading(database) as connection:
        advisory_lock(connection, f"ref.{definition.name}")
        if connection.scalar(text("SELECT 1 FROM ref.lookup WHERE lookup_id = :id"), {"id": lookup_id}):
            return ReferenceLoad(definition.name, table.num_rows, 0, _square_degrees(moc.sky_fraction))
        _refuse_changed_file(connection, definition.name, path, sha256, table.num_rows)
        rows_new = merge_sources(database, connection, definition.name, table, path)
        record_lookup(
            connection,
            LookupRecord(
                lookup_id=lookup_id,
                catalog=definition.name,
                kind="file",
                endpoint=path.name,
                region=region.description,
                parameters={"region": region.description},
                complete=True,
                rows_in=table.num_rows,
                response_sha256=sha256,
            ),
        )
        add_coverage(connection, definition.name, lookup_id, moc)
    finish_load(database, definition.name)
    return ReferenceLoad(definition.name, table.num_rows, rows_new, _square_degrees(moc.sky_fraction))


def _square_degrees(fraction: float) -> float:
    return float(fraction * 129600.0 / np.pi)


def _refuse_changed_file(connection: Connection, catalog: str, path: Path, sha256: str, n_rows: int) -> None:
    earlier = connection.execute(
        text("""
            SELECT response_sha256, rows_in
            FROM ref.lookup
            WHERE catalog = :catalog AND endpoint = :name AND kind = 'file' AND response_sha256 <> :sha256
            LIMIT 1
        """),
        {"catalog": catalog, "name": path.name, "sha256": sha256},
    ).first()
    if earlier is not None:
        raise InputError(
            f"{path}: a file of this name with other content is loaded already ({earlier.rows_in} rows, sha256 "
            f"{earlier.response_sha256[:12]}; this one has {n_rows} rows, {sha256[:12]}); give it another name"
        )
