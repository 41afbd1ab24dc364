"""Options that several commands share, and the values they take."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import astropy.units as u
import click
from astropy.coordinates import Angle

from vascodb.errors import InputError

__all__ = ["AngleType", "column_names", "column_option", "existing_path", "output_options", "report_format"]

FORMATS = ("table", "json", "csv", "ecsv", "votable", "fits", "parquet")


class AngleType(click.ParamType[float]):
    """An angle with its unit, such as ``5arcsec`` or ``60arcmin``; becomes a float in ``unit``."""

    name = "angle"

    def __init__(self, unit: u.UnitBase) -> None:
        self.unit = unit

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Read the angle; a bare number is refused, because nobody can tell its unit."""
        if isinstance(value, float):
            return value
        try:
            return float(Angle(value).to_value(self.unit))
        except (ValueError, u.UnitsError):
            self.fail(f"{value!r} is not an angle with its unit, such as 5arcsec or 0.5deg", param, ctx)


existing_path = click.Path(path_type=Path)

column_option = click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="CORE=NAME",
    help="Name that the catalogue has for a core column, e.g. ra=RAJ2000; may be repeated.",
)


def column_names(columns: Iterable[str]) -> dict[str, str]:
    """What `column_option` was given: core column to the name that a file has for it."""
    pairs = [column.partition("=") for column in columns]
    if bad := [pair[0] for pair in pairs if not (pair[0] and pair[2])]:
        raise InputError(f"--column {bad[0]}: write CORE=NAME, such as ra=RAJ2000")
    return {core: own for core, _, own in pairs}


def report_format(help_text: str) -> Callable[..., Any]:
    """``--format`` of a command that prints a report of its own, as a table or as JSON."""
    return click.option(
        "--format",
        "kind",
        type=click.Choice(["table", "json"]),
        default="table",
        show_default=True,
        help=help_text,
    )


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--format``, ``-o`` and ``--sql``, the same on every command that prints rows."""
    for option in (
        click.option("--sql", "show_sql", is_flag=True, help="Print the SQL with its parameters, and stop."),
        click.option(
            "-o", "--output", type=existing_path, metavar="FILE", help="Write to a file instead of the terminal."
        ),
        click.option(
            "--format",
            "kind",
            type=click.Choice(FORMATS),
            default="table",
            show_default=True,
            help="Form of the rows; ecsv, votable, fits and parquet keep the units.",
        ),
    ):
        command = option(command)
    return command
