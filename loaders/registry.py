"""The registry of reference catalogues: what is known of each, and how its columns are called."""

import re
import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator
from sqlalchemy import Connection, text

from vascodb.errors import InputError

__all__ = [
    "CanaryPosition",
    "CatalogDefinition",
    "Condition",
    "MotionRule",
    "SkyPosition",
    "SourceBinding",
    "catalog",
    "catalogs",
    "register_catalogs",
    "registry_text",
]

_NOT_STORED = {
    "columns",
    "mag_of",
    "via",
    "canary",
    "confirmed_motion",
    "footprint_table",
    "bulk_filter",
    "bulk_rows",
    "witness_radius_arcsec",
    "fewest_per_sqdeg",
}


class ColumnNames(BaseModel):
    """Names under which each core column is found in files and answers; the first match wins.

    A catalogue without numbers for its sources is known by designations, and one without either by positions.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    source_id: list[str] = []
    ra: list[str]
    dec: list[str]
    pmra: list[str] = []
    pmdec: list[str] = []
    epoch: list[str] = []
    mag: list[str] = []
    designation: list[str] = []


class Condition(BaseModel):
    """A row is asked for only where this holds.

    Parameters
    ----------
    column : str
        Name at the service.
    operator : str
        One of ``>= <= > < =``.
    value : float or str
        What it is compared with.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str
    operator: Literal[">=", "<=", ">", "<", "="]
    value: float | int | str

    @classmethod
    def parse(cls, text_of_it: str) -> "Condition":
        """Read ``nDetections >= 2`` or ``moon_masked = '00'``."""
        match = re.fullmatch(r"\s*(\S+)\s+(>=|<=|>|<|=)\s+(?:'([^']*)'|([-+.\deE]+))\s*", text_of_it)
        if match is None:
            raise ValueError(f"condition {text_of_it!r}: give a column, one of >= <= > < =, and a number or 'text'")
        column, operator, words, number = match.groups()
        value: float | int | str = words
        if words is None:
            value = int(number) if re.fullmatch(r"[-+]?\d+", number) else float(number)
        return cls(column=column, operator=operator, value=value)  # type: ignore[arg-type]


class SourceBinding(BaseModel):
    """How one service publishes a catalogue.

    Parameters
    ----------
    table : str
        Its name of the table, such as ``I/355/gaiadr3``.
    ra, dec : str
        Its names of the columns whose positions it searches.
    columns : dict of str to str
        Every column that is asked for, with its unit; empty where it has none. The answer must have
        all of them, in these units.
    where : tuple of `Condition`
        Only rows for which all of these hold are asked for.
    access : {'any', 'list'}
        Whether a whole area can be asked for, or only the surroundings of given positions.
    mode : {'sync', 'async'}
        Whether lists of positions are answered at once, or worked on as jobs.
    nearest_only : bool
        Whether only the row nearest to each position of a list counts: in tables of single exposures
        a star is as many rows as there are exposures of it.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    table: str = Field(pattern=r"^[A-Za-z][\w./+-]*$")
    ra: str
    dec: str
    columns: dict[str, str]
    where: tuple[Condition, ...] = ()
    access: Literal["any", "list"] = "any"
    mode: Literal["sync", "async"] = "sync"
    nearest_only: bool = False

    @field_validator("where", mode="before")
    @classmethod
    def _read_conditions(cls, value: Any) -> Any:
        return tuple(Condition.parse(each) if isinstance(each, str) else each for each in value)

    @model_validator(mode="after")
    def _names_are_names(self) -> Self:
        for name in (*self.columns, *(condition.column for condition in self.where)):
            if not re.fullmatch(r"[\w.+*/-]+", name):
                raise ValueError(f"{name!r} is no name of a column")
        for name in (self.ra, self.dec):
            if name not in self.columns:
                raise ValueError(f"{name} is searched, so it must be among the columns")
        return self


class SkyPosition(BaseModel):
    """A position in degrees."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    ra: float = Field(ge=0, lt=360)
    dec: float = Field(ge=-90, le=90)


class CanaryPosition(BaseModel):
    """A circle in which the catalogue surely has a source.

    ``empty`` is a position about which it surely has none within its coverage margin, if one is known;
    lists of positions carry it along.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    ra: float = Field(ge=0, lt=360)
    dec: float = Field(ge=-90, le=90)
    radius_arcsec: float = Field(gt=0, le=60)
    empty: SkyPosition | None = None


class MotionRule(BaseModel):
    """When a catalogue's proper motions can be believed; all others are left out.

    Parameters
    ----------
    any_of : tuple of str
        Magnitudes of which at least one must be there.
    at_least : dict of str to float
        Columns and the least value of each.
    below_masyr : float
        Motions as fast or faster are not believed.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    any_of: tuple[str, ...] = ()
    at_least: dict[str, float] = {}
    below_masyr: float = Field(gt=0)


class CatalogDefinition(BaseModel):
    """One reference catalogue; the columns of ``ref.catalog`` say what the fields mean.

    ``bulk_filter`` is what rows of the partitioned release must fulfil to be in the catalogue, and
    ``bulk_rows`` the number of rows of that release, as published. Where nobody publishes what a survey
    has seen, ``witness_radius_arcsec`` says how near a position it must have any source at all for its
    having none there to mean something. ``fewest_per_sqdeg`` are fewer sources per square degree than it
    has anywhere in its survey: an answer with fewer is not believed. ``mag_of`` says what the magnitude is where
    several of its columns are there: the first one, or the brightest.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    family: str
    title: str
    epoch_jyear: float
    has_pm: bool
    match_radius_arcsec: float = Field(gt=0, le=60)
    coverage_margin_arcsec: float = Field(gt=0)
    mag_band: str
    depth_mag: float
    dec_min: float = -90.0
    dec_max: float = 90.0
    footprint: Literal["declination", "moc"] = "declination"
    witness_radius_arcsec: float | None = Field(default=None, gt=0, le=600)
    fewest_per_sqdeg: float | None = Field(default=None, gt=0)
    moving: bool = False
    service: str
    licence: str
    citation: str
    columns: ColumnNames
    mag_of: Literal["first", "brightest"] = "first"
    via: dict[str, SourceBinding] = {}
    canary: CanaryPosition | None = None
    confirmed_motion: MotionRule | None = None
    footprint_table: str | None = None
    bulk_filter: tuple[Condition, ...] = ()
    bulk_rows: int | None = Field(default=None, gt=0)

    @property
    def list_radius_arcsec(self) -> float:
        """Radius within which sources are asked for about given positions."""
        return max(self.coverage_margin_arcsec, self.witness_radius_arcsec or 0.0)

    @field_validator("bulk_filter", mode="before")
    @classmethod
    def _read_filter(cls, value: Any) -> Any:
        return tuple(Condition.parse(each) if isinstance(each, str) else each for each in value)

    @model_validator(mode="before")
    @classmethod
    def _fill_in_likes(cls, values: dict[str, Any]) -> dict[str, Any]:
        """A binding that is ``like`` another has the other's entries, but for its own."""
        via = dict(values.get("via", {}))
        for name, entry in via.items():
            if isinstance(entry, dict) and "like" in entry:
                other = via.get(entry["like"])
                if other is None:
                    raise ValueError(f"{name} is like {entry['like']!r}, which is not there")
                via[name] = dict(other) | {key: value for key, value in entry.items() if key != "like"}
        return {**values, "via": via}

    @model_validator(mode="after")
    def _bindings_fit(self) -> Self:
        if self.footprint == "moc" and self.footprint_table is None:
            raise ValueError("footprint = 'moc' needs a footprint_table")
        for service, binding in self.via.items():
            names = self.columns
            for core in (names.source_id or names.designation, names.ra, names.dec):
                if core and not set(core) & set(binding.columns):
                    raise ValueError(f"via {service}: none of {', '.join(core)} is asked for")
        return self


@cache
def catalogs() -> dict[str, CatalogDefinition]:
    """All registered catalogues by name."""
    return {name: CatalogDefinition(name=name, **entry) for name, entry in tomllib.loads(registry_text()).items()}


def registry_text() -> str:
    """The registry file as it is shipped."""
    return files("vascodb.loaders").joinpath("catalogs.toml").read_text(encoding="utf-8")


def catalog(name: str) -> CatalogDefinition:
    """The catalogue of that name.

    Raises
    ------
    InputError
        If there is none; the message lists those there are.
    """
    if name not in catalogs():
        raise InputError(f"unknown catalogue {name!r}; registered are: {', '.join(sorted(catalogs()))}")
    return catalogs()[name]


def register_catalogs(connection: Connection) -> None:
    """Bring ``ref.catalog`` in line with the registry and make the source tables that are missing."""
    for definition in catalogs().values():
        connection.execute(
            text("""
                INSERT INTO ref.catalog AS c (
                    catalog, family, title, epoch_jyear, has_pm, match_radius_arcsec, coverage_margin_arcsec,
                    mag_band, depth_mag, dec_min, dec_max, footprint, moving, service, licence, citation
                )
                VALUES (
                    :name, :family, :title, :epoch_jyear, :has_pm, :match_radius_arcsec, :coverage_margin_arcsec,
                    :mag_band, :depth_mag, :dec_min, :dec_max, :footprint, :moving, :service, :licence, :citation
                )
                ON CONFLICT (catalog) DO UPDATE
                SET family = excluded.family, title = excluded.title, epoch_jyear = excluded.epoch_jyear,
                    has_pm = excluded.has_pm, match_radius_arcsec = excluded.match_radius_arcsec,
                    coverage_margin_arcsec = excluded.coverage_margin_arcsec, mag_band = excluded.mag_band,
                    depth_mag = excluded.depth_mag, dec_min = excluded.dec_min, dec_max = excluded.dec_max,
                    footprint = excluded.footprint, moving = excluded.moving, service = excluded.service,
                    licence = excluded.licence, citation = excluded.citation
                WHERE (c.*) IS DISTINCT FROM (excluded.*)
            """),
            definition.model_dump(exclude=_NOT_STORED),
        )
        connection.execute(text("SELECT ref.create_source_table(:name)"), {"name": definition.name})
