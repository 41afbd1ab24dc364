"""Options that several commands share, and the values they take."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import astropy.units as u
import click
from astropy.coordinates import Angle

__all__ = ["AngleType", "existing_path", "output_options"]

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
