"""SkyBoT: asked for one place, one time and one observatory, and believed only if it answers just that."""

from collections.abc import Iterator
from pathlib import Path

import astropy.units as u
import numpy as np
import pytest
from askservice import TRANSPORT_CAUSES, settings_for
from astropy.coordinates import SkyCoord
from astropy.io import ascii as text_tables
from astropy.io.votable import parse_single_table
from astropy.time import Time
from servers.skybot import MovingObject, SkybotServer

from vascodb.loaders.client.ask import Reply, ServiceClient
from vascodb.loaders.client.failure import Cause, LookupFailure
from vascodb.loaders.regions import Cone
from vascodb.loaders.sources.skybot import MovingAnswer, SkybotSource, _read

EPOCH_JD = 2433979.008333
CONES = {
    "plain": Cone(132.8, 11.8, 0.7),
    "across 0h": Cone(359.9, -0.05, 0.7),
    "just below the equator": Cone(20.0, -0.01, 0.7),
    "north pole": Cone(37.0, 89.9, 0.7),
    "south pole": Cone(310.0, -90.0, 0.7),
}
CONTENT_CAUSES = {
    "service_error": Cause.SERVICE_ERROR,
    "overflow": Cause.OVERFLOW,
    "header_only": Cause.TRUNCATED,
    "missing_column": Cause.MISSING_COLUMN,
    "wrong_unit": Cause.WRONG_UNIT,
    "duplicate_rows": Cause.DUPLICATE_ROWS,
    "wrong_sky": Cause.WRONG_SKY,
    "nan_position": Cause.BAD_ROWS,
}


def objects_around(cone: Cone, n: int = 60) -> list[MovingObject]:
    """Objects in twice the cone's radius; every third has a number, one a name with bars in it."""
    random = np.random.default_rng(4)
    centre = SkyCoord(cone.ra_deg, cone.dec_deg, unit="deg")
    places = centre.directional_offset_by(
        random.random(n) * 360 * u.deg, 2 * cone.radius_deg * np.sqrt(random.random(n)) * u.deg
    )
    return [
        MovingObject(
            name="G!kun||'homdima" if i == 0 else f"19{i} {chr(65 + i % 26)}B{cone.ra_deg:.0f}",
            ra_deg=place.ra.deg,
            dec_deg=place.dec.deg,
            epoch_jd=EPOCH_JD,
            ra_rate=random.normal(0, 30),
            dec_rate=random.normal(0, 30),
            magnitude=round(random.uniform(12, 22), 2),
            error_arcsec=round(random.uniform(0, 100), 3),
            number=str(1000 + i) if i % 3 == 0 else "",
        )
        for i, place in enumerate(places)
    ]


SKY = {name: objects_around(cone) for name, cone in CONES.items()}


@pytest.fixture
def server() -> Iterator[SkybotServer]:
    with SkybotServer([each for objects in SKY.values() for each in objects]) as running:
        yield running


def ask(server: SkybotServer, cone: Cone, epoch_jd: float = EPOCH_JD, observer: str = "675") -> Reply[MovingAnswer]:
    source = SkybotSource(row_cap=5_000)
    client = ServiceClient("skybot", settings_for(server))
    return client.ask(lambda session, endpoint: source.ask(session, endpoint, cone, epoch_jd, observer))


def cause_of(reply: Reply[MovingAnswer]) -> Cause:
    assert reply.failure is not None
    assert reply.answer is None
    return reply.failure.cause


def objects_of(reply: Reply[MovingAnswer]) -> dict[str, dict[str, object]]:
    assert reply.answer is not None, reply.failure
    assert reply.answer.rows_in == reply.answer.objects.num_rows
    return {row["name"]: row for row in reply.answer.objects.to_pylist()}


@pytest.mark.parametrize("where", CONES)
def test_a_cone_holds_exactly_the_objects_within_its_radius(server: SkybotServer, where: str) -> None:
    cone = CONES[where]
    centre = SkyCoord(cone.ra_deg, cone.dec_deg, unit="deg")
    expected = {
        each.name: each
        for each in SKY[where]
        if SkyCoord(each.ra_deg, each.dec_deg, unit="deg").separation(centre).deg <= cone.radius_deg
    }
    assert 5 < len(expected) < 60
    found = objects_of(ask(server, cone))
    assert set(found) == set(expected)
    for name, each in expected.items():
        place = SkyCoord(found[name]["ra"], found[name]["dec"], unit="deg")
        # The service rounds to 0.1 ms of time and 1 mas.
        assert place.separation(SkyCoord(each.ra_deg, each.dec_deg, unit="deg")).arcsec < 0.002
        assert found[name]["rate_ra_arcsec_h"] == pytest.approx(each.ra_rate, rel=1e-6)
        assert found[name]["rate_dec_arcsec_h"] == pytest.approx(each.dec_rate, rel=1e-6)
        assert found[name]["mag"] == pytest.approx(each.magnitude)
        assert found[name]["error_arcsec"] == pytest.approx(each.error_arcsec)
        assert found[name]["number"] == (int(each.number) if each.number else None)


def test_the_question_names_time_place_and_palomar(server: SkybotServer) -> None:
    ask(server, CONES["plain"])
    asked = server.requests[-1]
    assert float(asked.first("-ep")) == EPOCH_JD
    assert (float(asked.first("-ra")), float(asked.first("-dec"))) == (132.8, 11.8)
    # The service cuts on the tangent plane; so much there is 0.7 degrees on the sphere.
    assert np.degrees(np.arctan(np.radians(float(asked.first("-rd"))))) == pytest.approx(0.7, abs=1e-12)
    # Older and newer installations call the observatory by different names, and take the other for none at all.
    assert (asked.first("-observer"), asked.first("-loc")) == ("675", "675")
    assert (asked.first("-output"), asked.first("-mime"), asked.first("-refsys")) == ("all", "votable", "EQJ2000")
    assert asked.first("-objFilter") == "111"


def test_the_observatory_matters() -> None:
    near = MovingObject("1951 AA", 132.8, 11.8, EPOCH_JD)
    with SkybotServer([near], parallax_arcsec={"675": (8.0, -3.0)}) as server:
        palomar, centre = (objects_of(ask(server, CONES["plain"], observer=code))["1951 AA"] for code in ("675", "500"))
    apart = SkyCoord(palomar["ra"], palomar["dec"], unit="deg").separation(
        SkyCoord(centre["ra"], centre["dec"], unit="deg")
    )
    assert apart.arcsec == pytest.approx(np.hypot(8.0, 3.0), abs=0.01)


def test_an_empty_field_is_an_answer_because_the_service_says_so(server: SkybotServer) -> None:
    reply = ask(server, Cone(200.0, -40.0, 0.7))
    assert objects_of(reply) == {}


@pytest.mark.parametrize(("fault", "cause"), list(CONTENT_CAUSES.items()) + list(TRANSPORT_CAUSES.items()))
def test_what_is_wrong_has_its_name_and_the_next_try_is_whole(server: SkybotServer, fault: str, cause: Cause) -> None:
    whole = objects_of(ask(server, CONES["plain"]))
    server.fail(fault)
    assert cause_of(ask(server, CONES["plain"])) is cause
    assert objects_of(ask(server, CONES["plain"])) == whole


def test_as_many_rows_as_are_taken_at_most_count_as_cut(server: SkybotServer) -> None:
    n_rows = len(objects_of(ask(server, CONES["plain"])))
    client = ServiceClient("skybot", settings_for(server))
    for cap, cause in ((n_rows, Cause.ROW_CAP), (n_rows + 1, None)):
        source = SkybotSource(row_cap=cap)
        reply = client.ask(
            lambda session, endpoint, source=source: source.ask(session, endpoint, CONES["plain"], EPOCH_JD)
        )
        assert (reply.failure.cause if reply.failure else None) is cause


# Recorded answers


class Recorded:
    """A recorded answer in place of a service."""

    def __init__(self, body: bytes) -> None:
        self.content = body

    def get(self, *_: object, **__: object) -> "Recorded":
        return self


def answer_to(body: bytes, cone: Cone, epoch_jd: float, observer: str = "500") -> MovingAnswer:
    return SkybotSource(5_000).ask(Recorded(body), "http://local", cone, epoch_jd, observer)  # type: ignore[arg-type]


VOTABLE_CONE, VOTABLE_JD = Cone(81.2833, 4.49278, 0.2), Time("2025-01-02").jd


def test_the_recorded_votable_is_read(shared_data: Path) -> None:
    path = shared_data / "http" / "astroquery" / "imcce__skybot_query.vot"
    objects = answer_to(path.read_bytes(), VOTABLE_CONE, VOTABLE_JD).objects
    # The hidden columns have the same positions in degrees.
    expected = parse_single_table(path).to_table()
    places = SkyCoord(objects["ra"].to_numpy(), objects["dec"].to_numpy(), unit="deg")
    assert places.separation(SkyCoord(expected["_raj2000"], expected["_decj2000"])).arcsec.max() < 0.002
    assert objects["number"].to_pylist() == [229762, 523748, None, None]
    assert objects["class"][0].as_py() == "KBO>Detached"
    assert objects["rate_ra_arcsec_h"].to_pylist() == pytest.approx(expected["dracosdec"].tolist())
    assert len(set(objects["source_id"].to_pylist())) == 4


def test_the_recorded_text_is_read(shared_data: Path) -> None:
    path = shared_data / "http" / "astroquery_history" / "skybot_query.dat"
    cone, jd = Cone(0.0, 0.0, 0.5), 2451200.0
    objects = answer_to(path.read_bytes(), cone, jd).objects
    expected = text_tables.read(
        path.read_text(), format="no_header", delimiter="|", comment="#", fill_values=[("", "0")]
    )
    places = SkyCoord(objects["ra"].to_numpy(), objects["dec"].to_numpy(), unit="deg")
    assert (
        places.separation(SkyCoord(expected["col3"], expected["col4"], unit=("hourangle", "deg"))).arcsec.max() < 1e-6
    )
    # The service's own distances from the middle of its field, which are those on the tangent plane; the field
    # lies across 0h and the equator.
    distance = places.separation(SkyCoord(0, 0, unit="deg"))
    assert np.abs(np.degrees(np.tan(distance.rad)) * 3600 - expected["col8"]).max() < 0.002
    assert np.abs(distance.arcsec - expected["col8"]).max() > 0.04
    assert (objects["dec"].to_numpy() < 0).sum() > 10
    assert objects["name"].to_pylist() == [str(name) for name in expected["col2"]]
    assert objects["error_arcsec"].to_pylist() == pytest.approx(expected["col7"].tolist())


@pytest.mark.parametrize(
    ("body", "cause"),
    [
        (b"# Flag: -1\n# Ticket: 181292695259995135\nSkyBoT comet conesearch -> MySQL server (asterws3.imcce.fr): \n",
         Cause.SERVICE_ERROR),
        (b"# Flag: 1\n# Ticket: 5\n# Num | Name | RA(h) | DE(deg) | Class | Mv | Err(arcsec) | d(arcsec) | "
         b"dRA(arcsec/h) | dDEC(arcsec/h)\n", Cause.TRUNCATED),
        (b"# Flag: 0\n# Ticket: 5\n# Epoch is out of range\n", Cause.SERVICE_ERROR),
        (b"# Flag: -1\n# Ticket: 5\n# No solar system object was found\n", Cause.SERVICE_ERROR),
        (b"", Cause.TRUNCATED),
        (b"<html><body>Maintenance</body></html>", Cause.NOT_THE_FORMAT),
    ],
)  # fmt: skip
def test_what_is_no_table_is_no_empty_field(body: bytes, cause: Cause) -> None:
    with pytest.raises(LookupFailure) as failure:
        answer_to(body, Cone(0.0, 0.0, 0.5), 2451200.0)
    assert failure.value.cause is cause


def test_text_says_an_empty_field_in_words() -> None:
    body = b"# Flag: 0\n# Ticket: 1548711633538\n# No solar system object was found in the requested FOV\n"
    assert answer_to(body, Cone(0.0, 0.0, 0.5), 2451200.0).rows_in == 0


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("RA(h)", "RA(deg)", Cause.WRONG_UNIT),
        ("Err(arcsec)", "Err(mas)", Cause.WRONG_UNIT),
        ("dRA(arcsec/h)", "dRA(arcsec/min)", Cause.WRONG_UNIT),
        ("DE(deg)", "Dec(deg)", Cause.MISSING_COLUMN),
        ("23 59 45.7861", "23 59 xx", Cause.BAD_ROWS),
        ("23 59 45.7861", "24 59 45.7861", Cause.BAD_ROWS),
        ("23 59 45.7861", "11 59 45.7861", Cause.WRONG_SKY),
        ("-00 00 50.055", "-00 60 50.055", Cause.BAD_ROWS),
        ("| 2451200\n", "| 2451", Cause.TRUNCATED),
        ("395111 | 2009 VC31", "299383 | 2005 VC73", Cause.DUPLICATE_ROWS),
        ("3.437 | 219.006", "-3.437 | 219.006", Cause.BAD_ROWS),
    ],
)
def test_spoilt_text_is_refused(shared_data: Path, old: str, new: str, cause: Cause) -> None:
    text = (shared_data / "http" / "astroquery_history" / "skybot_query.dat").read_text()
    assert old in text
    spoilt = text[: text.rindex(old)] + new if old.startswith("| 2451200") else text.replace(old, new, 1)
    with pytest.raises(LookupFailure) as failure:
        answer_to(spoilt.encode(), Cone(0.0, 0.0, 0.5), 2451200.0)
    assert failure.value.cause is cause


@pytest.mark.parametrize(
    ("observer", "later_s", "words"),
    [("675", 0.0, "for observatory 500, not 675"), ("500", 60.0, "60 s from the time asked for")],
)
def test_an_answer_to_another_question_is_refused(shared_data: Path, observer: str, later_s: float, words: str) -> None:
    body = (shared_data / "http" / "astroquery" / "imcce__skybot_query.vot").read_bytes()
    with pytest.raises(LookupFailure, match=words) as failure:
        answer_to(body, VOTABLE_CONE, VOTABLE_JD + later_s / 86400, observer)
    assert failure.value.cause is Cause.SERVICE_ERROR


def test_minus_zero_degrees_are_south_of_the_equator(shared_data: Path) -> None:
    text = (shared_data / "http" / "astroquery_history" / "skybot_query.dat").read_text()
    assert "| -00 00 50.055 |" in text
    raw = _read(text.encode())
    assert raw.units["DE"] == "deg"
    objects = answer_to(text.encode(), Cone(0.0, 0.0, 0.5), 2451200.0).objects
    assert objects["dec"][0].as_py() == pytest.approx(-50.055 / 3600)
