"""Fetch the outline of a survey that is bounded by more than declination."""

from tempfile import NamedTemporaryFile

from astropy import units as u
from astropy.coordinates import Latitude, Longitude
from mocpy import MOC
from sqlalchemy import text

from vascodb.db import Database
from vascodb.errors import ServiceError
from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.client.session import EvidenceSession, text_of_page
from vascodb.loaders.fetch.evidence import Question, record_complete, record_endpoints, record_failure
from vascodb.loaders.registry import CatalogDefinition
from vascodb.plates.footprint import multirange

__all__ = ["fetch_footprint"]

_ORDER = 10
"""Cells of 3.4 arcmin: those that the outline crosses are left out, which hardly matters at that size."""


def fetch_footprint(database: Database, client: ServiceClient, definition: CatalogDefinition) -> None:
    """Fetch a survey's outline from CDS and store it; what is stored already stays.

    Cells that the outline crosses do not count as surveyed.

    Raises
    ------
    ServiceError
        If it cannot be had; without it nothing in that catalogue can be covered.
    """
    table = (definition.footprint_table or "").replace("/", "_")
    question = Question(definition.name, "footprint", client.name, f"outline of {table}", {"table": table})

    def ask(session: EvidenceSession, endpoint: str) -> MOC:
        body = session.get(f"{endpoint}/{table}/MOC").content
        moc = _read(body)
        at = definition.canary
        if at is not None and not moc.contains_lonlat(Longitude([at.ra], u.deg), Latitude([at.dec], u.deg))[0]:
            raise LookupFailure(Cause.CANARY, f"the outline does not hold {at.ra}, {at.dec}, where a source is known")
        return moc

    reply = client.ask(ask)
    with database.connect() as connection:
        record_endpoints(connection, client)
        if reply.failure is not None:
            record_failure(connection, question, reply, reply.failure)
        else:
            lookup_id = record_complete(connection, question, reply, rows_in=0, row_cap=None, canary_id=None)
            connection.execute(
                text("""
                    INSERT INTO ref.footprint (catalog, hpx29, lookup_id)
                    VALUES (:catalog, CAST(:ranges AS int8multirange), :lookup_id)
                    ON CONFLICT (catalog) DO UPDATE SET hpx29 = excluded.hpx29, lookup_id = excluded.lookup_id
                """),
                {"catalog": definition.name, "lookup_id": lookup_id, "ranges": multirange(_inside(reply.answer))},
            )
    if reply.failure is not None:
        raise ServiceError(
            f"{definition.title}: the survey's outline could not be fetched from {reply.endpoint} "
            f"({reply.failure}); nothing can be said to be missing from it; safe to run again"
        )


def _read(body: bytes) -> MOC:
    if not body.startswith(b"SIMPLE"):
        raise LookupFailure(Cause.NOT_THE_FORMAT, f"no FITS file, but: {text_of_page(body)}")
    with NamedTemporaryFile(suffix=".fits") as file:
        file.write(body)
        file.flush()
        try:
            moc = MOC.load(file.name, format="fits")
        except (OSError, ValueError, KeyError) as error:
            raise LookupFailure(Cause.TRUNCATED, f"no whole MOC: {error}") from error
    if moc.empty():
        raise LookupFailure(Cause.TRUNCATED, "the MOC is empty")
    return moc


def _inside(moc: MOC) -> MOC:
    """The cells of a middling order that lie wholly inside; fine outlines would be slow to compare with."""
    if moc.max_order <= _ORDER:
        return moc
    inside = moc.complement().degrade_to_order(_ORDER).complement()
    return moc if inside.empty() else inside
