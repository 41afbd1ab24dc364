"""ADQL as it is sent to TAP services: names quoted where they need it, values written exactly."""

import re

from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import Condition, SourceBinding

__all__ = ["column_name", "conditions", "cone_query", "list_query", "select_list", "table_name"]

_PLAIN = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*")


def table_name(binding: SourceBinding) -> str:
    """The table as it stands in a query: VizieR's names need quotes, ``schema.table`` must not have any."""
    return binding.table if _PLAIN.fullmatch(binding.table) else _quoted(binding.table)


def column_name(binding: SourceBinding, name: str) -> str:
    """A column as it stands in a query.

    VizieR knows its columns by their exact names, some of which are words of the language (``max``);
    services with plain names take them without quotes, and some do not take them with.
    """
    return name if _PLAIN.fullmatch(binding.table) and _PLAIN.fullmatch(name) else _quoted(name)


def select_list(binding: SourceBinding, alias: str = "") -> str:
    """All columns that are asked for, after the alias of their table if it has one."""
    prefix = f"{alias}." if alias else ""
    return ", ".join(prefix + column_name(binding, name) for name in binding.columns)


def conditions(binding: SourceBinding, alias: str = "") -> list[str]:
    """The binding's own conditions."""
    prefix = f"{alias}." if alias else ""
    return [f"{prefix}{column_name(binding, c.column)} {c.operator} {_value(c)}" for c in binding.where]


def cone_query(binding: SourceBinding, cone: Cone) -> str:
    """All sources in a cone.

    Parameters
    ----------
    binding : `SourceBinding`
        Table and columns.
    cone : `Cone`
        Where.

    Returns
    -------
    str
        ADQL 2.0, as all services in use understand it.
    """
    position = f"POINT('ICRS', {column_name(binding, binding.ra)}, {column_name(binding, binding.dec)})"
    circle = f"CIRCLE('ICRS', {cone.ra_deg!r}, {cone.dec_deg!r}, {cone.radius_deg!r})"
    where = " AND ".join([f"1 = CONTAINS({position}, {circle})", *conditions(binding)])
    return f"SELECT {select_list(binding)} FROM {table_name(binding)} WHERE {where}"


def list_query(binding: SourceBinding, radius_arcsec: float, upload: str) -> str:
    """All sources near the positions of an uploaded table.

    Parameters
    ----------
    binding : `SourceBinding`
        Table and columns.
    radius_arcsec : float
        How near.
    upload : str
        Name of the uploaded table; its columns are ``row_id``, ``ra`` and ``dec``.
    """
    position = f"POINT('ICRS', c.{column_name(binding, binding.ra)}, c.{column_name(binding, binding.dec)})"
    circle = f"CIRCLE('ICRS', t.ra, t.dec, {radius_arcsec / 3600.0!r})"
    where = " AND ".join([f"1 = CONTAINS({position}, {circle})", *conditions(binding, "c")])
    # The list of tables instead of a join, and no word AS: so does every service in use understand it.
    tables = f"{table_name(binding)} c, TAP_UPLOAD.{upload} t"
    return f"SELECT t.row_id, {select_list(binding, 'c')} FROM {tables} WHERE {where}"


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _value(condition: Condition) -> str:
    if isinstance(condition.value, str):
        return "'" + condition.value.replace("'", "''") + "'"
    return repr(condition.value)
