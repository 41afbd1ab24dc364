"""The registry of reference catalogues and its rows in the database."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError
from sqlalchemy import Connection, text

from vascodb.errors import InputError
from vascodb.loaders.client.services import default_services
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import CatalogDefinition, Condition, catalog, catalogs, register_catalogs
from vascodb.loaders.sources.registry import area_services, area_source, list_services
from vascodb.loaders.tables import read_sources


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
    else:
        assert definition.coverage_margin_arcsec > definition.match_radius_arcsec, "nothing can be moved"


SEEDS_USE = {
    "gaia", "ps1", "ps1_bright", "usnob", "usnob_bright", "2mass", "allwise", "catwise", "unwise", "ukidss", "galex",
    "gsc", "vsx", "supercosmos", "ptf", "neowise", "skybot", "asteroids",
}  # fmt: skip


def test_every_catalogue_that_the_seeds_use_is_registered_at_a_service() -> None:
    assert {definition.family for definition in catalogs().values()} == SEEDS_USE
    for definition in catalogs().values():
        # Predicted here; no service is asked.
        assert definition.via or definition.name == "asteroids_offline", definition.name
        assert set(definition.via) <= set(default_services()), definition.name


@pytest.mark.parametrize("name", sorted(set(catalogs()) - {"skybot", "asteroids_offline"}))
def test_every_catalogue_can_be_asked_for_and_has_a_canary(name: str) -> None:
    definition, services = catalog(name), default_services()
    assert definition.canary is not None
    assert definition.dec_min <= definition.canary.dec <= definition.dec_max
    able = area_services(definition, services)
    assert able or list_services(definition, services)
    for service_name in able:
        source = area_source(definition, service_name, services)
        parameters = source.parameters(Cone(132.8, 11.8, 0.25))
        assert str(services[service_name].row_cap) in map(str, parameters.values()), "a cap is always said"
        for column in definition.via[service_name].columns:
            assert column in str(parameters), "and every column"
    if able:
        assert type(area_source(definition, None, services)) is type(area_source(definition, able[0], services))
    with pytest.raises(InputError, match=f"{name} cannot be asked for areas at cds_moc"):
        area_source(definition, "cds_moc", services)


@pytest.mark.parametrize("name", sorted(set(catalogs()) - {"skybot", "asteroids_offline"}))
def test_every_binding_asks_for_what_the_core_columns_need(name: str) -> None:
    definition = catalog(name)
    for binding in definition.via.values():
        for core, names in definition.columns.model_dump().items():
            asked = [each for each in names if each in binding.columns]
            if core in ("ra", "dec") or (core in ("pmra", "pmdec") and definition.has_pm):
                assert asked, (name, core)
        assert definition.has_pm or not definition.columns.pmra
        if definition.confirmed_motion:
            needed = {*definition.confirmed_motion.any_of, *definition.confirmed_motion.at_least}
            assert needed <= set(binding.columns)


def test_gaia_has_the_canary_and_nothing_beside_it(shared_data: Path) -> None:
    table = read_sources(shared_data / "gaia" / "gaia_edr3_M67_6179rows.csv", catalog("gaia_edr3"))
    canary = catalog("gaia_edr3").canary
    assert canary is not None
    assert canary.empty is not None
    ra, dec = table["ra"].to_numpy(), table["dec"].to_numpy()
    assert Cone(canary.ra, canary.dec, 2 / 3600).contains(ra, dec).sum() == 1
    assert Cone(canary.ra, canary.dec, 60 / 3600).contains(ra, dec).sum() == 1
    star = int(np.flatnonzero(Cone(canary.ra, canary.dec, 2 / 3600).contains(ra, dec))[0])
    assert table["source_id"][star].as_py() == 604967485335448832
    assert abs(table["pmra_masyr"][star].as_py()) + abs(table["pmdec_masyr"][star].as_py()) < 2
    assert not Cone(canary.empty.ra, canary.empty.dec, 60 / 3600).contains(ra, dec).any()


def definition_with(**changes: Any) -> CatalogDefinition:
    values = catalog("gaia_dr3").model_dump() | changes
    return CatalogDefinition(**values)


VIA = {"table": "t", "ra": "ra", "dec": "dec", "columns": {"source_id": "", "ra": "deg", "dec": "deg"}}


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"footprint": "moc"}, "needs a footprint_table"),
        ({"via": {"a": {"like": "b"}}}, "a is like 'b', which is not there"),
        ({"via": {"a": VIA | {"columns": {"ra": "deg", "dec": "deg"}}}}, "none of source_id, Source is asked for"),
        ({"via": {"a": VIA | {"ra": "alpha"}}}, "alpha is searched"),
        ({"via": {"a": VIA | {"table": "t; DROP TABLE x"}}}, "table"),
        ({"via": {"a": VIA | {"columns": {**VIA["columns"], 'a"b': ""}}}}, "is no name of a column"),  # type: ignore[dict-item]
        ({"via": {"a": VIA | {"where": ["Nd >= 3 OR 1 = 1"]}}}, "condition"),
        ({"via": {"a": VIA | {"where": ["Nd"]}}}, "condition"),
        ({"via": {"a": VIA | {"whence": "x"}}}, "whence"),
        ({"canary": {"ra": 360.0, "dec": 0.0, "radius_arcsec": 1.0}}, "less than 360"),
    ],
)
def test_a_definition_that_cannot_be_asked_for_is_refused(changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        definition_with(**changes)


def test_a_binding_like_another_has_its_entries_but_for_its_own() -> None:
    via = definition_with(via={"one": VIA, "other": {"like": "one", "table": "u", "access": "list"}}).via
    assert (via["other"].table, via["other"].columns, via["other"].access) == ("u", VIA["columns"], "list")
    assert via["one"].access == "any"


@pytest.mark.parametrize(
    ("words", "parts"),
    [
        ("nDetections >= 3", ("nDetections", ">=", 3)),
        ("Gmag < 15.5", ("Gmag", "<", 15.5)),
        ("mjd <= 5.9198e4", ("mjd", "<=", 59198.0)),
        ("moon_masked = '00'", ("moon_masked", "=", "00")),
        (" x > -1 ", ("x", ">", -1)),
    ],
)
def test_a_condition_is_a_column_an_operator_and_a_value(words: str, parts: tuple[object, ...]) -> None:
    condition = Condition.parse(words)
    assert (condition.column, condition.operator, condition.value) == parts


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
