"""Put every look-up of a service on record: what was asked, what came back, and whether it can be believed."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, text

from vascodb.ids import content_id
from vascodb.loaders.client.ask import Reply, ServiceClient
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.store import LookupRecord, record_lookup

__all__ = ["Question", "record_complete", "record_endpoints", "record_failure", "record_split"]


@dataclass(frozen=True)
class Question:
    """What a look-up asked.

    Parameters
    ----------
    catalog : str
        Catalogue.
    kind : {'area', 'list', 'moving', 'canary', 'footprint'}
        How it was asked.
    service : str
        Service, by its name in the settings.
    region : str
        What sky, in words; the same sky has the same words.
    parameters : mapping
        What was sent.
    """

    catalog: str
    kind: str
    service: str
    region: str
    parameters: Mapping[str, Any]


def record_complete(
    connection: Connection,
    question: Question,
    reply: Reply[Any],
    *,
    rows_in: int,
    row_cap: int | None,
    canary_id: int | None,
    rows_rejected: int = 0,
) -> int:
    """Record an answer that holds everything in its region; returns the look-up's id.

    The id is made of question and answer, so that the same answer again is the same look-up.
    The database refuses what is not complete: a cut answer, or one that no canary vouches for.
    """
    lookup_id = content_id("lookup", question.catalog, question.kind, question.region, reply.response_sha256)
    record_lookup(
        connection,
        LookupRecord(
            lookup_id=lookup_id,
            complete=True,
            rows_in=rows_in,
            rows_rejected=rows_rejected,
            row_cap=row_cap,
            canary_id=canary_id,
            **_common(question, reply),
        ),
    )
    return lookup_id


def record_failure(connection: Connection, question: Question, reply: Reply[Any], failure: LookupFailure) -> int:
    """Record a look-up that did not bring a whole answer; returns the look-up's id, new for each failure."""
    return _record_incomplete(connection, question, reply, failure, "failed")


def record_split(
    connection: Connection, question: Question, reply: Reply[Any], failure: LookupFailure, row_cap: int
) -> int:
    """Record a look-up whose answer was cut, and whose region is asked for again in parts."""
    return _record_incomplete(connection, question, reply, failure, "split", row_cap)


def record_endpoints(connection: Connection, client: ServiceClient) -> None:
    """Remember which of a service's addresses answered, and which did not, since the last time."""
    for endpoint, cause in client.take_outcomes():
        connection.execute(
            text("""
                INSERT INTO ref.endpoint AS e (service, endpoint, last_good_at, last_bad_at, last_cause)
                VALUES (
                    :service, :endpoint,
                    CASE WHEN CAST(:cause AS text) IS NULL THEN clock_timestamp() END,
                    CASE WHEN CAST(:cause AS text) IS NOT NULL THEN clock_timestamp() END,
                    :cause
                )
                ON CONFLICT (service, endpoint) DO UPDATE
                SET last_good_at = coalesce(excluded.last_good_at, e.last_good_at),
                    last_bad_at = coalesce(excluded.last_bad_at, e.last_bad_at),
                    last_cause = coalesce(excluded.last_cause, e.last_cause)
            """),
            {"service": client.name, "endpoint": endpoint, "cause": cause.value if cause else None},
        )


def _record_incomplete(
    connection: Connection,
    question: Question,
    reply: Reply[Any],
    failure: LookupFailure,
    status: str,
    row_cap: int | None = None,
) -> int:
    lookup_id = content_id("lookup", question.catalog, question.kind, question.region, secrets.token_hex(16))
    record_lookup(
        connection,
        LookupRecord(
            lookup_id=lookup_id,
            status=status,
            cause=failure.cause.value,
            error=failure.detail,
            overflow=failure.cause is Cause.OVERFLOW,
            row_cap=row_cap,
            **_common(question, reply),
        ),
    )
    return lookup_id


def _common(question: Question, reply: Reply[Any]) -> dict[str, Any]:
    return {
        "catalog": question.catalog,
        "kind": question.kind,
        "service": question.service,
        "region": question.region,
        # What was changed in settings and environment is part of what was asked.
        "parameters": {**question.parameters, **({"settings": reply.context} if reply.context else {})},
        "endpoint": reply.endpoint,
        "response_sha256": reply.response_sha256,
        "response_bytes": reply.response_bytes,
        "http_status": reply.http_status,
        "attempts": reply.attempts,
        "seconds": reply.seconds,
    }
