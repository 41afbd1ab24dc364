"""The registry of reference catalogues and its rows in the database."""

import pytest
from sqlalchemy import Connection, text

from vascodb.errors import InputError
from vascodb.loaders.registry import catalog, catalogs, register_catalogs


def test_gaia_is_registered_with_what_a_match_needs() -> None:
    for name in ("gaia_edr3", "gaia_dr3"):
        definition = catalog(name)
        assert (definition.family, definition.epoch_jyear, definition.has_pm) == ("gaia", 2016.0, True)
        assert definition.match_radius_arcsec == 5.0


@pytest.mark.parametrize("name", sorted(catalogs()))
def test_a_margin_holds_the_search_circle_and_60_years_of_motion(name: str) -> None:
    definition = catalog(name)
    assert definition.coverage_margin_arcsec >= definition.match_radius_arcsec
    if definition.has_pm:
        # 99.99 % of stars with G < 20 move less than half an arcsec a year.
        assert definition.coverage_margin_arcsec >= definition.match_radius_arcsec + 0.5 * (
            definition.epoch_jyear - 1949
        )


def test_an_unknown_catalogue_is_refused_with_the_list_of_those_there_are() -> None:
    with pytest.raises(InputError, match=r"unknown catalogue 'gaia_dr9'; registered are: .*gaia_dr3, gaia_edr3"):
        catalog("gaia_dr9")


def test_every_catalogue_has_a_row_and_a_table_with_the_core_columns(connection: Connection) -> None:
    rows = connection.execute(text("SELECT catalog, epoch_jyear, coverage_margin_arcsec FROM ref.catalog")).all()
    assert {row.catalog: (row.epoch_jyear, row.coverage_margin_arcsec) for row in rows} == {
        name: (d.epoch_jyear, d.coverage_margin_arcsec) for name, d in catalogs().items()
    }
    columns = text("""
        SELECT array_agg(attname || ' ' || atttypid::regtype || ' ' || attnotnull ORDER BY attnum)
        FROM pg_attribute WHERE attrelid = CAST(:table AS regclass) AND attnum > 0
    """)
    template = connection.scalar(columns, {"table": "ref.source_template"})
    for name in catalogs():
        assert connection.scalar(columns, {"table": f"ref.{name}"}) == template
        indexes = connection.scalars(text("SELECT indexname FROM pg_indexes WHERE tablename = :t"), {"t": name}).all()
        assert set(indexes) == {f"{name}_sky", f"{name}_fast", f"{name}_source_id"}


def test_registering_again_mends_a_row_and_leaves_the_others(connection: Connection) -> None:
    connection.execute(text("UPDATE ref.catalog SET match_radius_arcsec = 1 WHERE catalog = 'gaia_dr3'"))
    places = text("SELECT catalog, ctid::text FROM ref.catalog ORDER BY 1")
    before = {name: place for name, place in connection.execute(places)}
    register_catalogs(connection)
    after = {name: place for name, place in connection.execute(places)}
    assert {name for name in after if after[name] != before[name]} == {"gaia_dr3"}
    assert connection.scalar(text("SELECT match_radius_arcsec FROM ref.catalog WHERE catalog = 'gaia_dr3'")) == 5.0
