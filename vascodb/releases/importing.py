"""Store a release as an external run: images that were never seen, detections, and the release's own verdicts."""

from collections.abc import Mapping
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, text

from vascodb.bulk import advisory_lock, loading, staged
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.ids import canonical_json, content_id
from vascodb.releases.measures import morph_rows, shape_rows
from vascodb.releases.reading import Release, read_release
from vascodb.releases.report import ImportReport, report_release
from vascodb.releases.rows import TILE_SIZE_ARCMIN, detection_rows, match_rows, tile_rows, verdict_rows
from vascodb.releases.statements import DETECTIONS, MATCHES, MORPH, SHAPE, TILES, VERDICTS
from vascodb.releases.states import CatalogueStates, catalogue_states

__all__ = ["import_release", "release_extractions"]


def import_release(database: Database, path: Path, name: str | None = None) -> ImportReport:
    """Import a published release or a run folder; the same folder again writes nothing.

    Only plates that were loaded since are told then, where they were not before, and what an earlier version left out.

    Parameters
    ----------
    database : `Database`
        Where to.
    path : `~pathlib.Path`
        Its folder; see `read_release`.
    name : str, optional
        Name to import it under; the folder's own, if it is not given.

    Raises
    ------
    InputError
        If the release is damaged or contradicts itself, another one is stored under the name, or this one
        under another name.
    """
    started = monotonic()
    release = read_release(path)
    release_id = content_id("release", [[file.name, file.sha256] for file in release.files])
    chosen = name or path.resolve().name
    with loading(database) as connection:
        advisory_lock(connection, "vasco.release")
        new = not _is_stored(connection, release, release_id, chosen)
        if new:
            _store(database, connection, release, release_id, chosen, path)
        else:
            _complete_s0(connection, release, release_id)
        resolved = int(connection.scalar(text("SELECT stage.resolve_plates(:id)"), {"id": release_id}) or 0)
        connection.execute(text("SELECT stage.date_by_plate(:id)"), {"id": release_id})
        report = report_release(connection, release_id, new=new, resolved=resolved, started=started)
    if new:
        with database.autocommit() as connection:
            connection.execute(
                text(
                    "VACUUM (ANALYZE) plate.tile, plate.image, vasco.extraction, vasco.detection, vasco.imported_match"
                )
            )
    return report


def release_extractions(connection: Connection, name: str) -> list[int]:
    """Extractions of an imported release, in the order of its tiles' names; tiles without a list have none.

    Raises
    ------
    InputError
        If no release has that name.
    """
    release_id = connection.scalar(text("SELECT release_id FROM vasco.release WHERE name = :name"), {"name": name})
    if release_id is None:
        names = connection.scalars(text("SELECT name FROM vasco.release ORDER BY name")).all()
        raise InputError(f"there is no release {name!r}; imported are: {', '.join(names) or 'none'}")
    return list(
        connection.scalars(
            text("""
                SELECT extraction_id FROM vasco.release_tile
                WHERE release_id = :id AND extraction_id IS NOT NULL
                ORDER BY tile_id
            """),
            {"id": release_id},
        )
    )


def _is_stored(connection: Connection, release: Release, release_id: int, name: str) -> bool:
    stored = connection.execute(
        text("SELECT release_id, name FROM vasco.release WHERE release_id = :id OR name = :name"),
        {"id": release_id, "name": name},
    ).all()
    for row in stored:
        if row.release_id != release_id:
            raise InputError(
                f"another release is stored as {name!r}: {_difference(connection, row.release_id, release)}; "
                "import this one under another --name"
            )
        if row.name != name:
            raise InputError(f"this release is stored already, as {row.name!r}")
    return bool(stored)


def _difference(connection: Connection, release_id: int, release: Release) -> str:
    stored = {
        row.file_name: row.sha256
        for row in connection.execute(
            text("SELECT file_name, sha256 FROM vasco.release_file WHERE release_id = :id"), {"id": release_id}
        )
    }
    given = {file.name: file.sha256 for file in release.files}
    kinds = {
        "differ": [name for name in given if name in stored and stored[name] != given[name]],
        "are new here": [name for name in given if name not in stored],
        "are missing here": [name for name in stored if name not in given],
    }
    return ", ".join(f"{' and '.join(sorted(names))} {kind}" for kind, names in kinds.items() if names)


def _store(
    database: Database, connection: Connection, release: Release, release_id: int, name: str, path: Path
) -> None:
    connection.execute(
        text("INSERT INTO vasco.release (release_id, name, run_tag, path) VALUES (:id, :name, :run_tag, :path)"),
        {"id": release_id, "name": name, "run_tag": release.run_tag, "path": str(path.resolve())},
    )
    _store_files(connection, release, release_id)
    tiles = tile_rows(release, release_id)
    with staged(database, connection, tiles, "release_tile") as staging:
        for statement in TILES:
            connection.execute(
                text(statement.format(staging=staging)), {"release_id": release_id, "size_arcmin": TILE_SIZE_ARCMIN}
            )
    extraction_of = _extraction_of(release, tiles["extraction_id"].to_pylist())
    with staged(database, connection, detection_rows(release, extraction_of), "release_detection") as staging:
        connection.execute(text(DETECTIONS.format(staging=staging)))
    for rows, statement in ((morph_rows(release, extraction_of), MORPH), (shape_rows(release, extraction_of), SHAPE)):
        if rows is not None:
            with staged(database, connection, rows, "release_measure") as staging:
                connection.execute(text(statement.format(staging=staging)))
    lookup_of = _store_stages(connection, release, release_id, name)
    with staged(database, connection, verdict_rows(release, extraction_of, lookup_of), "release_verdict") as staging:
        connection.execute(text(VERDICTS.format(staging=staging)))
    for states in catalogue_states(release):
        lookup_id = _store_look(connection, release, states, release_id, name)
        rows = match_rows(release, states, extraction_of, lookup_id)
        with staged(database, connection, rows, "release_match") as staging:
            connection.execute(text(MATCHES.format(staging=staging)))


def _extraction_of(release: Release, by_tile: list[int | None]) -> NDArray[np.int64]:
    # A tile without a list has no detections: `read_release` has seen to that.
    extractions = np.array([-1 if each is None else each for each in by_tile], dtype=np.int64)
    return extractions[release.detections.tile]


def _store_files(connection: Connection, release: Release, release_id: int) -> None:
    connection.execute(
        text("""
            INSERT INTO vasco.release_file (
                release_id, file_name, sha256, size_bytes, rows_in, rows_kept, rows_rejected
            )
            VALUES (:release_id, :file_name, :sha256, :size_bytes, :rows_in, :rows_kept, :rows_rejected)
        """),
        [
            {
                "release_id": release_id,
                "file_name": file.name,
                "sha256": file.sha256,
                "size_bytes": len(file.content),
                **dict(zip(_COUNTS, release.rows.get(file.name, (None, None, None)), strict=True)),
            }
            for file in release.files
        ],
    )


_COUNTS = ("rows_in", "rows_kept", "rows_rejected")


def _store_stages(connection: Connection, release: Release, release_id: int, name: str) -> dict[str, int]:
    """Put the files of the stages on record, S0 first; returns the look-up of each stage."""
    first = release.detections
    stages: list[tuple[str, str, str, int, int, Mapping[str, Any], bool]] = [
        ("S0", first.file.name, first.file.sha256, len(first.number), int(first.in_s0.sum()), release.s0_parameters,
         first.doubt is None)
    ]  # fmt: skip
    for stage in release.stages:
        counts = (stage.flags.n_rows, stage.n_kept)
        file = stage.file
        stages.append((stage.label, file.name, file.sha256, *counts, stage.parameters, stage.doubt is None))
    lookup_of: dict[str, int] = {}
    for ordinal, (label, file_name, sha256, n_in, n_kept, parameters, complete) in enumerate(stages, start=1):
        lookup_of[label] = content_id("lookup", "import", release_id, label)
        _record(
            connection,
            lookup_id=lookup_of[label],
            catalog=None,
            endpoint=file_name,
            region=f"release {name}: stage {label}",
            parameters=canonical_json(dict(parameters)),
            rows_in=n_in,
            rows_rejected=0,
            complete=complete,
            response_sha256=sha256,
        )
        connection.execute(
            text("""
                INSERT INTO vasco.release_stage (
                    release_id, ordinal, stage, rows_in, rows_kept, parameters, lookup_id
                )
                VALUES (:release_id, :ordinal, :stage, :rows_in, :rows_kept, :parameters, :lookup_id)
            """),
            {
                "release_id": release_id,
                "ordinal": ordinal,
                "stage": label,
                "rows_in": n_in,
                "rows_kept": n_kept,
                "parameters": canonical_json(dict(parameters)),
                "lookup_id": lookup_of[label],
            },
        )
    return lookup_of


def _complete_s0(connection: Connection, release: Release, release_id: int) -> None:
    """What the release says of S0, where it was imported before that was taken in."""
    connection.execute(
        text("""
            WITH stage AS (
                UPDATE vasco.release_stage
                SET parameters = CAST(:parameters AS jsonb)
                WHERE release_id = :release_id AND stage = 'S0' AND parameters <> CAST(:parameters AS jsonb)
                RETURNING lookup_id
            )
            UPDATE ref.lookup AS l SET parameters = CAST(:parameters AS jsonb) FROM stage AS s
            WHERE l.lookup_id = s.lookup_id
        """),
        {"release_id": release_id, "parameters": canonical_json(dict(release.s0_parameters))},
    )


def _store_look(
    connection: Connection, release: Release, states: CatalogueStates, release_id: int, name: str
) -> int | None:
    """Put on record what a file says of a catalogue; nothing where no file does."""
    if states.stage is None:
        return None
    lookup_id = content_id("lookup", "import", release_id, states.stage.label, states.catalog)
    row_is_known = np.array([state != "unknown" for state in states.state], dtype=bool)
    in_file = np.isin(states.index, states.stage.index)
    _record(
        connection,
        lookup_id=lookup_id,
        catalog=states.catalog,
        endpoint=states.stage.file.name,
        region=f"release {name}: detections of stage {states.stage.label}",
        parameters=canonical_json(states.stage.parameters),
        rows_in=states.stage.flags.n_rows,
        rows_rejected=int(np.count_nonzero(in_file & ~row_is_known)),
        complete=states.complete,
        response_sha256=states.stage.file.sha256,
    )
    return lookup_id


def _record(connection: Connection, **values: Any) -> None:
    connection.execute(
        text("""
            INSERT INTO ref.lookup (
                lookup_id, catalog, kind, endpoint, parameters, region, status, rows_in, rows_kept, rows_rejected,
                overflow, complete, response_sha256
            )
            VALUES (
                :lookup_id, :catalog, 'import', :endpoint, :parameters, :region, 'ok', :rows_in,
                :rows_in - :rows_rejected, :rows_rejected, false, :complete, :response_sha256
            )
        """),
        values,
    )
