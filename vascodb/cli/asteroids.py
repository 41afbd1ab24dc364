"""The verb that predicts asteroids over images without a network."""

import time
from pathlib import Path

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from sqlalchemy import text

from vascodb.cli.options import existing_path
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.settings import Settings

__all__ = ["COMMANDS"]


@click.command("predict-asteroids", epilog="Example: vascodb predict-asteroids elements.json.gz --plate XE486")
@click.argument("elements", type=existing_path)
@click.option("--plate", "plates", multiple=True, metavar="PLATE", help="Only images of this plate; may be repeated.")
@click.option(
    "--brighter-than", "limit_mag", type=float, metavar="V", help="Only bodies that can come to be as bright."
)
def predict_asteroids(elements: Path, plates: tuple[str, ...], limit_mag: float | None) -> None:
    """Predict asteroids over stored images, without a network.

    ELEMENTS is a file of osculating elements: MPCORB.DAT of the Minor Planet Center and its like, or JSON as JPL's
    Small-Body Database answers queries for them; also with gzip. The bodies are carried back to the middle of each
    exposure by its corrected time; images without one are left out. What comes of it is the catalogue
    asteroids_offline, which covers the bodies that were followed and no others.

    Of all known bodies few ever come to be bright enough for a plate: --brighter-than 19 saves most of the work.
    """
    # The ephemeris takes a second to load, which other verbs need not wait for.
    from vascodb.asteroids.reading import read_elements  # noqa: PLC0415
    from vascodb.asteroids.store import predict_over_images  # noqa: PLC0415

    bodies = read_elements(elements)
    n_read = len(bodies)
    if limit_mag is not None:
        bodies = bodies.brighter_than(limit_mag)
    database = Database(Settings())
    with database.connect() as connection:
        images = connection.execute(
            text("""
                SELECT i.image_id, i.plate_id FROM plate.image AS i
                WHERE i.status = 'ok' AND (cardinality(CAST(:plates AS text[])) = 0 OR i.plate_id = ANY (:plates))
                ORDER BY i.image_id
            """),
            {"plates": list(plates)},
        ).all()
    if missing := sorted(set(plates) - {image.plate_id for image in images}):
        raise InputError(f"no image of plate {missing[0]!r} is stored; run: vascodb ingest-tile FILE")
    if not images:
        raise InputError("no image is stored yet; run: vascodb ingest-tile FILE")
    image_ids = [image.image_id for image in images]
    began, console = time.monotonic(), Console(stderr=True)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=console, transient=True, disable=not console.is_terminal,
    ) as bar:  # fmt: skip
        task = bar.add_task("images", total=len(image_ids))
        totals = predict_over_images(
            database, bodies, image_ids, lambda done, wanted: bar.update(task, completed=done, total=wanted)
        )
    some = ", ".join(bodies.left_out[:3]) + (", ..." if len(bodies.left_out) > 3 else "")
    left_out = f", {len(bodies.left_out)} left out ({some})" if bodies.left_out else ""
    too_faint = f", {n_read - len(bodies)} never brighter than V = {limit_mag:g}" if n_read > len(bodies) else ""
    click.echo(
        f"{len(bodies)} bodies{left_out}{too_faint} over {totals.predicted} images: {totals.objects} passages, "
        f"{totals.known} images known already, {totals.untimed} without a time, {time.monotonic() - began:.0f} s"
    )


COMMANDS = (predict_asteroids,)
