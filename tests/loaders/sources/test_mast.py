"""MAST's cones come whole or not at all: its pages end without a word."""

from collections.abc import Iterator
from hashlib import sha256

import numpy as np
import pytest
from askservice import CONES, TRANSPORT_CAUSES, ask, cause_of, ids_in, rows_of, settings_for, stars_around
from astropy.table import MaskedColumn, Table
from servers.http import Request
from servers.mast import MastServer
from servers.skytable import SkyTable
from servers.transport import Answer

from vascodb.loaders.client.failure import Cause
from vascodb.loaders.regions import Cone
from vascodb.loaders.registry import catalog
from vascodb.loaders.sources.mast import MastSource

PS1 = catalog("ps1_dr2")
BRIGHT = catalog("ps1_bright")
BINDING = PS1.via["mast_catalogs"]
PLAIN = CONES["plain"]
CONTENT_CAUSES = {
    "service_error": Cause.SERVICE_ERROR,
    "overflow": Cause.OVERFLOW,
    "exactly_cap": Cause.ROW_CAP,
    "missing_column": Cause.MISSING_COLUMN,
    # JSON has no units: radians are told by where they are.
    "wrong_unit": Cause.WRONG_SKY,
    "duplicate_rows": Cause.DUPLICATE_ROWS,
    "wrong_sky": Cause.WRONG_SKY,
    "nan_position": Cause.BAD_ROWS,
}


@pytest.fixture(scope="module")
def objects() -> Table:
    """Stars by MAST's names; a third seen twice only, a fifth without a magnitude."""
    table = stars_around(*CONES.values())
    for old, new in {"Source": "objID", "RA_ICRS": "raMean", "DE_ICRS": "decMean", "Gmag": "rMeanPSFMag"}.items():
        table.rename_column(old, new)
    table["nDetections"] = np.arange(len(table)) % 3 * 5 + 2
    return table


@pytest.fixture(scope="module")
def server(objects: Table) -> Iterator[MastServer]:
    with MastServer({"dr2/mean": SkyTable("dr2/mean", objects, "raMean", "decMean")}) as running:
        yield running


def ids_by_vizier_names(objects: Table, cone: Cone) -> set[int]:
    renamed = Table({"Source": objects["objID"], "RA_ICRS": objects["raMean"], "DE_ICRS": objects["decMean"]})
    return ids_in(renamed, cone)


@pytest.mark.parametrize("where", CONES)
def test_a_cone_holds_exactly_the_objects_within_its_radius(server: MastServer, objects: Table, where: str) -> None:
    cone = CONES[where]
    settings = settings_for(server)
    reply = ask(MastSource(PS1, BINDING, settings), settings, cone)
    assert reply.answer is not None
    expected = ids_by_vizier_names(objects[objects["nDetections"] >= 3], cone)
    assert set(reply.answer.table["source_id"].to_pylist()) == expected
    assert reply.answer.rows_in == len(expected) > 0


def test_values_arrive_and_a_sentinel_is_no_magnitude(server: MastServer, objects: Table) -> None:
    settings = settings_for(server)
    reply = ask(MastSource(PS1, BINDING, settings), settings, PLAIN)
    assert reply.answer is not None
    magnitudes = {row["source_id"]: (row["ra"], row["dec"], row["mag"]) for row in reply.answer.table.to_pylist()}
    sent = MaskedColumn(objects["rMeanPSFMag"])
    for i, source_id in enumerate(objects["objID"].tolist()):
        if source_id in magnitudes:
            magnitude = None if sent.mask[i] else float(sent[i])
            assert magnitudes[source_id] == (objects["raMean"][i], objects["decMean"][i], magnitude)
    assert None in {magnitude for _, _, magnitude in magnitudes.values()}


@pytest.mark.parametrize("fault", CONTENT_CAUSES | TRANSPORT_CAUSES)
def test_a_fault_has_its_name_and_the_next_try_completes(server: MastServer, fault: str) -> None:
    settings = settings_for(server)
    source = MastSource(PS1, BINDING, settings)
    server.fail(fault)
    assert cause_of(ask(source, settings, PLAIN)) is (CONTENT_CAUSES | TRANSPORT_CAUSES)[fault]
    assert cause_of(ask(source, settings, PLAIN)) is None


@pytest.mark.parametrize(("more_than_there_are", "cause"), [(-1, Cause.ROW_CAP), (0, Cause.ROW_CAP), (1, None)])
def test_a_full_page_is_a_cut_answer(
    server: MastServer, objects: Table, more_than_there_are: int, cause: Cause | None
) -> None:
    there = len(ids_by_vizier_names(objects[objects["nDetections"] >= 3], PLAIN))
    settings = settings_for(server, row_cap=there + more_than_there_are)
    assert cause_of(ask(MastSource(PS1, BINDING, settings), settings, PLAIN)) is cause
    assert [r.first("pagesize") for r in server.requests if r.first("page") in ("", "1")][-1] == str(settings.row_cap)


@pytest.mark.parametrize("page_rows", [1, 7, 100])
def test_a_page_shorter_than_asked_for_is_a_cut_answer(objects: Table, page_rows: int) -> None:
    sky = SkyTable("dr2/mean", objects, "raMean", "decMean")
    with MastServer({"dr2/mean": sky}, max_pagesize=page_rows) as curt:
        settings = settings_for(curt)
        reply = ask(MastSource(PS1, BINDING, settings), settings, PLAIN)
    assert cause_of(reply) is Cause.OVERFLOW
    assert reply.failure is not None and f"{page_rows} rows came" in reply.failure.detail


@pytest.mark.parametrize("last_page_is", ["empty", "not found"])
def test_what_is_on_record_is_the_answer_not_the_look_behind_it(
    server: MastServer, monkeypatch: pytest.MonkeyPatch, last_page_is: str
) -> None:
    bodies = []

    def answer(request: Request, fault: str | None) -> Answer:
        if last_page_is == "not found" and request.first("page"):
            return Answer(b'{"message": "no such page"}', 404, "application/json")
        bodies.append(MastServer.answer(server, request, fault).body)
        return Answer(bodies[-1], 200, "application/json")

    monkeypatch.setattr(server, "answer", answer)
    settings = settings_for(server)
    reply = ask(MastSource(PS1, BINDING, settings), settings, PLAIN)
    assert reply.failure is None
    assert (reply.http_status, reply.response_sha256) == (200, sha256(bodies[0]).hexdigest())


def test_no_rows_are_an_answer_without_rows(server: MastServer) -> None:
    settings = settings_for(server)
    reply = ask(MastSource(PS1, BINDING, settings), settings, Cone(70.0, -20.0, 0.5))
    assert reply.answer is not None
    assert reply.answer.rows_in == 0
    assert rows_of(reply) == []


def test_bright_stars_are_selected_by_the_service(server: MastServer, objects: Table) -> None:
    settings = settings_for(server)
    reply = ask(MastSource(BRIGHT, BRIGHT.via["mast_catalogs"], settings), settings, PLAIN)
    assert reply.answer is not None
    red = objects["rMeanPSFMag"].filled(-999)
    expected = ids_by_vizier_names(objects[(red >= 0) & (red <= 16)], PLAIN)
    assert set(reply.answer.table["source_id"].to_pylist()) == expected
    asked = dict(next(r.parameters for r in reversed(server.requests) if not r.first("page")))
    assert (asked["nDetections.gte"], asked["rMeanPSFMag.gte"], asked["rMeanPSFMag.lte"]) == ("2", "0", "16")
    assert asked["columns"] == "[objID,raMean,decMean,rMeanPSFMag]"
