"""Verbs on exposure times: when every plate was exposed, and why that is thought of one of them."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table
from sqlalchemy import text

from vascodb.cli.options import output_options, report_format
from vascodb.cli.output import PlainConsole, Query, emit, print_sql, run_query
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.plates.times import PlateTimesTotals, solve_plate_times
from vascodb.settings import Settings

__all__ = ["COMMANDS", "told"]

_PLATE_TIMES = """
SELECT
    plate_id, plate_label, date_obs_raw, start_utc, mid_utc, uncertainty_minutes, time_quality, day_offset, hypothesis,
    residual_minutes, literal_start_utc, decimal_hours_start_utc, evidence
FROM api.plate_times
WHERE time_quality = :quality OR :quality = ''
ORDER BY plate_id
"""
_BRIEF = (
    "plate_id", "plate_label", "date_obs_raw", "start_utc", "mid_utc", "time_quality", "day_offset", "hypothesis",
    "residual_minutes",
)  # fmt: skip


def told(totals: PlateTimesTotals) -> str:
    """How many plates have a time, in one line."""
    return (
        f"times of {totals.plates} plates: {totals.agreed} agreed, {totals.single} single, "
        f"{totals.conflicting} conflicting, {totals.unknown} unknown"
    )


@click.command("plate-times", epilog="Example: vascodb plate-times --quality conflicting")
@click.option(
    "--quality",
    type=click.Choice(["agreed", "single", "conflicting", "unknown"]),
    help="Only plates whose time is known so well.",
)
@output_options
def plate_times(quality: str | None, kind: str, output: Path | None, show_sql: bool) -> None:
    """Find out when every plate was exposed, and list it.

    Weighed are all headers that are stored, the hour angles in them, the headers of the CD-ROMs and the order of the
    plate labels. What follows is stored, with every witness's word; explain-plate shows it for one plate.
    """
    query = Query(_PLATE_TIMES, {"quality": quality or ""}, "api.plate_times")
    if show_sql:
        print_sql(query)
        return
    with Database(Settings()).connect() as connection:
        totals = solve_plate_times(connection)
        emit(run_query(connection, query), kind, output, _BRIEF)
    click.echo(told(totals), err=kind != "table" and output is None)


@click.command("explain-plate", epilog="Example: vascodb explain-plate XE486")
@click.argument("plate_id", metavar="PLATE")
@report_format("Form of the answer.")
def explain_plate(plate_id: str, kind: str) -> None:
    """Show why a plate is thought to have been exposed when.

    PLATE is its name, such as XE486. Shown are its header's words, every moment they can mean with the hour angle's
    residual, what the CD-ROM and the order of the labels say, and what follows.
    """
    parameters = {"plate_id": plate_id}
    with Database(Settings()).connect() as connection:
        found = connection.execute(
            text("SELECT * FROM api.plate_times WHERE plate_id = :plate_id"), parameters
        ).one_or_none()
        if found is None:
            raise InputError(f"no time of plate {plate_id!r}; load its header, and run: vascodb plate-times")
        header = connection.execute(
            text("SELECT exposure_minutes, header ->> 'OBSHA' FROM plate.plate WHERE plate_id = :plate_id"), parameters
        ).one_or_none()
        rows = connection.execute(
            text("""
                SELECT kind, hypothesis, start_utc, day_offset, residual_minutes, verdict, adopted, note
                FROM plate.time_evidence
                WHERE plate_id = :plate_id
                ORDER BY ordinal
            """),
            parameters,
        )
        time, evidence = found._asdict(), [row._asdict() for row in rows]
    if kind == "json":
        click.echo(json.dumps(time | {"witnesses": evidence}, default=datetime.isoformat))
        return
    _print(time, None if header is None else tuple(header), evidence)


def _print(time: Mapping[str, Any], header: Sequence[Any] | None, evidence: Sequence[Mapping[str, Any]]) -> None:
    console = PlainConsole(160)
    label = f", label {escape(time['plate_label'])}" if time["plate_label"] else ""
    console.print(f"[bold]{escape(time['plate_id'])}[/]{label}")
    if header is not None:
        exposure = "of unknown length" if header[0] is None else f"of {header[0]:g} min"
        hour_angle = "no hour angle" if header[1] is None else f"hour angle {float(header[1]):+.3f} h east"
        console.print(f"header: DATE-OBS {escape(str(time['date_obs_raw']))}, exposure {exposure}, {hour_angle}")
    readings = Table(
        "the header can mean", "day", "minutes", "hour angle off by", "", "", box=None, header_style="bold"
    )
    witnesses = Table("witness", "says", "why", box=None, header_style="bold")
    for row in evidence:
        if row["kind"] == "reading":
            readings.add_row(
                _minute(row["start_utc"]), f"{row['day_offset']:+d}" if row["day_offset"] else "0", row["hypothesis"],
                _minutes(row["residual_minutes"]), row["verdict"], "[bold]this one[/]" if row["adopted"] else "",
            )  # fmt: skip
        else:
            witnesses.add_row(row["kind"].replace("_", " "), row["verdict"], escape(row["note"]))
    console.print(readings)
    console.print(witnesses)
    if time["start_utc"] is None:
        console.print(f"[bold]{time['time_quality']}: no time[/]; {escape(time['evidence'])}")
        return
    middle = "" if time["mid_utc"] is None else f", middle {time['mid_utc']:%Y-%m-%d %H:%M:%S}"
    console.print(
        f"[bold]{time['time_quality']}: start {_minute(time['start_utc'])}{middle} UTC[/], "
        f"± {time['uncertainty_minutes']:g} min"
    )


def _minute(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _minutes(value: float | None) -> str:
    return "" if value is None else f"{value:+.2f} min"


COMMANDS = (plate_times, explain_plate)
