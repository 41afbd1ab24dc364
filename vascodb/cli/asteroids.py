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
def predict_asteroids(elements: Path, plates: tuple[str, ...]) -> None:
    """Predict asteroids over stored images, without a network.

    ELEMENTS is a file of osculating elements, as JPL's Small-Body Database answers queries for them (JSON, also with
    gzip). The bodies are carried back to the middle of each exposure by its corrected time; images without one are left
    out. What comes of it is the catalogue asteroids_offline, which covers the bodies of the file and no others.
    """
    # The ephemeris takes a second to load, which other verbs need not wait for.
    from vascodb.asteroids.elements import read_elements  # noqa: PLC0415
    from vascodb.asteroids.store import predict_over_images  # noqa: PLC0415

    bodies = read_elements(elements)
    database = Database(Settings())
    with database.connect() as connection:
        image_ids = connection.scalars(
            text("""
                SELECT i.image_id FROM plate.image AS i
                WHERE i.status = 'ok' AND (cardinality(CAST(:plates AS text[])) = 0 OR i.plate_id = ANY (:plates))
                ORDER BY i.image_id
            """),
            {"plates": list(plates)},
        ).all()
    if not image_ids:
        raise InputError("no image of these plates is there yet; run: vascodb ingest-tile --fits FILE")
    began = time.monotonic()
    with Progress(
        TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        console=Console(stderr=True), transient=True,
    ) as bar:  # fmt: skip
        task = bar.add_task("images", total=len(image_ids))
        totals = predict_over_images(
            database, bodies, image_ids, lambda done, wanted: bar.update(task, completed=done, total=wanted)
        )
    left_out = f", {len(bodies.left_out)} left out ({', '.join(bodies.left_out[:3])})" if bodies.left_out else ""
    click.echo(
        f"{len(bodies)} bodies{left_out} over {totals.predicted} images: {totals.objects} predicted, "
        f"{totals.known} images known already, {totals.untimed} without a time, {time.monotonic() - began:.0f} s"
    )


COMMANDS = (predict_asteroids,)
