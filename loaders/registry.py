"""The registry of reference catalogues: what is known of each, and how its columns are called."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, text

from vascodb.errors import InputError

__all__ = ["CatalogDefinition", "catalog", "catalogs", "register_catalogs", "registry_text"]


class ColumnNames(BaseModel):
    """Names under which each core column is found in files; the first match wins."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    source_id: list[str]
    ra: list[str]
    dec: list[str]
    pmra: list[str] = []
    pmdec: list[str] = []
    epoch: list[str] = []
    mag: list[str] = []
    designation: list[str] = []


class CatalogDefinition(BaseModel):
    """One reference catalogue; the columns of ``ref.catalog`` say what the fields mean."""

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
    moving: bool = False
    service: str
    licence: str
    citation: str
    columns: ColumnNames


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
            definition.model_dump(exclude={"columns"}),
        )
        connection.execute(text("SELECT ref.create_source_table(:name)"), {"name": definition.name})
