"""Moving objects over images: asked at mid-exposure from Palomar, for all of an image, each look-up once."""

import threading
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import GeocentricTrueEcliptic, SkyCoord, get_sun
from astropy.time import Time
from localservice import impatient
from servers.faults import dead_endpoint
from servers.skybot import MovingObject, SkybotServer
from sqlalchemy import Connection, text
from squareimages import MID_EXPOSURE, MID_JD, PLACES, image_in, set_literal_time, set_time, square
from toysky import ToySky

from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.client.configured import load_services
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.fetch.moving import fetch_moving, plan_moving
from vascodb.loaders.fetch.totals import FetchTotals
from vascodb.loaders.registry import catalog
from vascodb.plates.dates import julian_year
from vascodb.settings import Settings

pytestmark = pytest.mark.filterwarnings("ignore:.*dubious year")
SKYBOT = catalog("skybot")


def opposite_the_sun(jd: float) -> SkyCoord:
    sun = get_sun(Time(jd, format="jd", scale="utc"))
    return SkyCoord(sun.ra + 180 * u.deg, -sun.dec, frame="icrs")


def asteroid_there(jd: float, name: str = "2 Pallas") -> MovingObject:
    place = opposite_the_sun(jd)
    return MovingObject(name, place.ra.deg, place.dec.deg, jd, number="2")


def add_image(
    database: Database, where: str = "plain", side_deg: float = 0.5, moment: datetime = MID_EXPOSURE, number: int = 1
) -> int:
    """A square image, exposed about a moment."""
    with database.connect() as connection:
        return image_in(connection, where, side_deg, moment, number)


def settings(server: SkybotServer, **limits: Any) -> ServiceSettings:
    return impatient("skybot", server.url, **({"first_byte_timeout_s": 5.0} | limits))


def fetch(database: Database, server: SkybotServer, images: Iterable[int], **options: Any) -> FetchTotals:
    limits = options.pop("limits", {})
    client = ServiceClient("skybot", settings(server, **limits))
    return fetch_moving(database, client, SKYBOT, list(images), **options)


def look_ups(database: Database) -> list[Any]:
    with database.connect() as connection:
        return list(
            connection.execute(
                text("""
                    SELECT l.kind, l.status, l.cause, l.complete, l.rows_in, l.canary_id, m.*
                    FROM ref.lookup AS l LEFT JOIN ref.moving_look AS m USING (lookup_id)
                    ORDER BY l.asked_at, l.lookup_id
                """)
            ).all()
        )


def stored_names(database: Database, image_id: int) -> set[str]:
    with database.connect() as connection:
        query = text("SELECT name FROM ref.moving_object JOIN ref.moving_look USING (lookup_id) WHERE image_id = :i")
        return set(connection.scalars(query, {"i": image_id}))


@pytest.fixture
def server() -> Iterator[SkybotServer]:
    crossing = MovingObject("1951 AA", 132.8, 11.8, MID_JD, ra_rate=-30.0, dec_rate=10.0)
    with SkybotServer([asteroid_there(MID_JD), crossing]) as running:
        yield running


def test_the_time_asked_is_the_middle_of_the_exposure_and_the_place_palomar(
    database: Database, server: SkybotServer
) -> None:
    fetch(database, server, [add_image(database)])
    # The canary's two questions, then the image.
    assert {float(r.first("-ep")) for r in server.requests} == {2433980.022222}
    assert {r.first("-observer") for r in server.requests} == {"675"}
    assert len(server.requests) == 3
    (look,) = [row for row in look_ups(database) if row.kind == "moving"]
    assert abs(look.epoch_jd - MID_JD) * 86400 < 0.1
    assert (look.observer, look.complete, look.rows_in) == ("675", True, 1)


def test_the_header_of_the_image_does_not_tell_the_time(database: Database, server: SkybotServer) -> None:
    image = add_image(database)
    with database.connect() as connection:
        literal = connection.scalar(text("SELECT epoch_jyear FROM plate.image WHERE image_id = :i"), {"i": image})
    assert abs(literal - julian_year(MID_EXPOSURE - timedelta(days=1))) < 1e-8
    fetch(database, server, [image])
    (look,) = [row for row in look_ups(database) if row.kind == "moving"]
    assert abs(look.epoch_jd - MID_JD) * 86400 < 0.1


@pytest.mark.parametrize("quality", ["conflicting", "unknown"])
def test_without_a_time_nobody_is_asked_and_the_detections_are_unknown(
    database: Database, server: SkybotServer, quality: str
) -> None:
    image = add_image(database)
    # What was asked for a time that was believed once does not count any more.
    fetch(database, server, [image])
    asked = len(server.requests)
    with database.connect() as connection:
        set_time(connection, image, None, quality)
        ToySky(connection).detections(image, [132.8, 132.9], [11.8, 11.8])
    totals = fetch(database, server, [image], again=True)
    assert (totals.complete, totals.failed) == (0, 0)
    assert len(server.requests) == asked
    with database.connect() as connection:
        ToySky(connection).match(image, "skybot")
        rows = connection.execute(text("SELECT state, reason FROM vasco.match WHERE catalog = 'skybot'")).all()
    assert set(rows) == {("unknown", f"the time of the exposure is {quality}: two witnesses disagree")}


def test_looks_for_another_time_do_not_count(database: Database, server: SkybotServer) -> None:
    image = add_image(database)
    fetch(database, server, [image])
    with database.connect() as connection:
        ToySky(connection).detections(image, [132.8, 132.9], [11.8, 11.8])
        assert ToySky(connection).match(image, "skybot")["matched"] == 1
        set_time(connection, image, MID_EXPOSURE + timedelta(days=1))
        assert ToySky(connection).match(image, "skybot")["not_covered"] == 2


def test_an_object_is_stored_with_its_motion(database: Database, server: SkybotServer) -> None:
    totals = fetch(database, server, [add_image(database)])
    assert (totals.complete, totals.failed, totals.rows) == (1, 0, 1)
    with database.connect() as connection:
        stored = connection.execute(text("SELECT * FROM ref.moving_object")).one()
    assert (stored.name, stored.number) == ("1951 AA", None)
    assert (stored.rate_ra_arcsec_h, stored.rate_dec_arcsec_h) == (-30.0, 10.0)
    place = SkyCoord(stored.ra, stored.dec, unit="deg")
    assert place.separation(SkyCoord(132.8, 11.8, unit="deg")).arcsec < 0.01


@pytest.mark.parametrize("where", PLACES)
@pytest.mark.parametrize("side_deg", [0.5, 6.5], ids=["tile", "plate"])
def test_the_cones_hold_all_of_an_image_and_the_margin_about_it(
    connection: Connection, where: str, side_deg: float
) -> None:
    widest_deg = load_services(Settings())["skybot"].max_radius_deg
    looks = plan_moving(connection, SKYBOT, [image_in(connection, where, side_deg)], widest_deg)
    assert all(look.cone.radius_deg <= widest_deg for look in looks)
    assert len(looks) == 1 if side_deg == 0.5 else 30 < len(looks) < 120
    random = np.random.default_rng(3)
    ra, dec = PLACES[where]
    frame = SkyCoord(ra, dec, unit="deg").skyoffset_frame()
    # All over the image, a quarter of them on its edges.
    x, y = (random.random((2, 4000)) - 0.5) * side_deg * 0.9999
    x[:1000] = np.sign(x[:1000]) * side_deg / 2 * 0.9999
    points = SkyCoord(x * u.deg, y * u.deg, frame=frame).icrs
    points = points[square(ra, dec, side_deg)[0].contains_lonlat(points.ra, points.dec)]
    assert len(points) > 2000
    covered = np.zeros(len(points), dtype=bool)
    for look in looks:
        centre = SkyCoord(look.cone.ra_deg, look.cone.dec_deg, unit="deg")
        # What a stage takes for covered that searches 60 arcsec: the margin holds 5 of them.
        inside_arcsec = look.cone.radius_deg * 3600 - SKYBOT.coverage_margin_arcsec - 55
        covered |= centre.separation(points).arcsec <= inside_arcsec
    assert covered.all()


def test_every_detection_of_a_plate_across_0h_is_matched_or_clear(database: Database) -> None:
    image = add_image(database, "across 0h", 3.0)
    frame = SkyCoord(*PLACES["across 0h"], unit="deg").skyoffset_frame()
    random = np.random.default_rng(8)
    x, y = (random.random((2, 300)) - 0.5) * 2.99
    places = SkyCoord(x * u.deg, y * u.deg, frame=frame).icrs
    # Every tenth detection is an asteroid in the middle of its trail.
    there = [asteroid_there(MID_JD)] + [
        MovingObject(f"1951 A{i}", float(places.ra.deg[i]), float(places.dec.deg[i]), MID_JD, ra_rate=30.0)
        for i in range(0, 300, 10)
    ]
    with SkybotServer(there) as server:
        totals = fetch(database, server, [image])
        assert totals.failed == 0
        assert totals.complete > 5
    with database.connect() as connection:
        sky = ToySky(connection)
        sky.detections(image, places.ra.deg, places.dec.deg)
        states = sky.match(image, "skybot")
        matched = connection.scalars(
            text("SELECT number FROM vasco.match WHERE catalog = 'skybot' AND state = 'matched' ORDER BY number")
        ).all()
    assert matched == list(range(1, 301, 10))
    assert states["clear"] == 270


def test_what_is_known_is_not_asked_again(database: Database, server: SkybotServer) -> None:
    image = add_image(database)
    fetch(database, server, [image])
    asked = len(server.requests)
    totals = fetch(database, server, [image])
    assert (totals.skipped, totals.complete) == (1, 0)
    assert len(server.requests) == asked
    assert fetch(database, server, [image], again=True).complete == 1
    assert fetch(database, server, [image], observer="500").complete == 1


def test_images_of_one_time_share_a_canary_those_of_another_have_their_own(database: Database) -> None:
    later = datetime(1953, 3, 1, 9, 0, tzinfo=UTC)
    images = [add_image(database), add_image(database, "41.81", number=2)]
    images.append(add_image(database, "equator", moment=later, number=3))
    later_jd = Time(later).jd
    with SkybotServer([asteroid_there(MID_JD), asteroid_there(later_jd, "3 Juno")]) as server:
        totals = fetch(database, server, images, workers=1)
        assert (totals.complete, totals.failed) == (3, 0)
        # Two for each of two times, and of each of three empty fields: the field, the canary once more, the field.
        assert len(server.requests) == 4 + 3 * 4
    kinds = [row.kind for row in look_ups(database)]
    assert (kinds.count("canary"), kinds.count("moving")) == (2, 3)


def test_the_canary_lies_on_the_ecliptic_opposite_the_sun(database: Database, server: SkybotServer) -> None:
    fetch(database, server, [add_image(database)])
    known = max(server.requests, key=lambda r: float(r.first("-rd")))
    place = SkyCoord(float(known.first("-ra")), float(known.first("-dec")), unit="deg")
    time = Time(MID_JD, format="jd")
    assert abs(place.transform_to(GeocentricTrueEcliptic(equinox=time)).lat.deg) < 0.02
    assert place.separation(SkyCoord(get_sun(time).ra, get_sun(time).dec)).deg > 179.9
    smallest = min(float(r.first("-rd")) for r in server.requests)
    assert smallest * 3600 == pytest.approx(0.01, rel=1e-6)


def test_an_empty_field_counts_only_if_the_service_sees_asteroids_at_that_time(database: Database) -> None:
    image = add_image(database)
    with SkybotServer([]) as server:
        totals = fetch(database, server, [image])
        assert (totals.complete, totals.failed) == (0, 1)
    (look,) = [row for row in look_ups(database) if row.kind == "moving"]
    assert (look.status, look.cause, look.complete, look.image_id) == ("failed", "canary", False, image)
    with SkybotServer([asteroid_there(MID_JD)]) as server:
        assert fetch(database, server, [image]).complete == 1


FAULTS = {
    "service_error": "service_error",
    "overflow": "overflow",
    "header_only": "truncated",
    "missing_column": "missing_column",
    "wrong_unit": "wrong_unit",
    "duplicate_rows": "duplicate_rows",
    "wrong_sky": "wrong_sky",
    "nan_position": "bad_rows",
    "first_byte_timeout": "first_byte_timeout",
    "reset_mid_body": "reset",
    "http_429": "rate_limited",
    "http_503": "unavailable",
    "html_maintenance": "not_the_format",
    "truncated_body": "truncated",
    "empty_body": "truncated",
}


@pytest.fixture(scope="module")
def shared(temporary_database, template_database: str) -> Iterator[Database]:
    """One database for many tests, each with an image of its own."""
    with temporary_database(template_database) as database:
        yield database


@pytest.mark.parametrize(("fault", "cause"), FAULTS.items())
def test_a_failed_look_leaves_evidence_no_clear_detection_and_is_tried_again(
    shared: Database, server: SkybotServer, fault: str, cause: str
) -> None:
    database = shared
    image = add_image(database, number=1 + list(FAULTS).index(fault))
    server.fail(fault, times=None, when=lambda r: abs(float(r.first("-ra")) - 132.8) < 1e-6)
    totals = fetch(database, server, [image], limits={"first_byte_timeout_s": 0.3})
    assert (totals.complete, totals.failed) == (0, 1)
    (look,) = [row for row in look_ups(database) if row.image_id == image]
    assert (look.kind, look.status, look.cause, look.complete) == ("moving", "failed", cause, False)
    assert stored_names(database, image) == set()
    assert states(database, image) == {"unknown"}
    server.heal()
    assert fetch(database, server, [image]).complete == 1
    assert stored_names(database, image) == {"1951 AA"}
    assert states(database, image) == {"clear", "matched"}


def states(database: Database, image: int) -> set[str]:
    """What matching says of two detections, one of which is the asteroid; nothing is kept."""
    with database.connect() as connection:
        sky = ToySky(connection)
        sky.detections(image, [132.8, 132.81], [11.8, 11.81])
        sky.match(image, "skybot")
        found = set(connection.scalars(text("SELECT state::text FROM vasco.match WHERE catalog = 'skybot'")))
        connection.rollback()
    return found


def test_a_service_that_is_down_is_given_up_after_some_failures(database: Database) -> None:
    image = add_image(database, side_deg=6.5)
    with dead_endpoint("refused") as root:
        client = ServiceClient("skybot", impatient("skybot", root))
        totals = fetch_moving(database, client, SKYBOT, [image], workers=1)
    assert totals.failed == 3
    assert totals.given_up == totals.planned - 3 > 10
    assert {row.cause for row in look_ups(database)} == {"refused"}


def test_two_fetches_side_by_side_never_do_the_same_look_up_twice(database: Database, server: SkybotServer) -> None:
    image = add_image(database, side_deg=3.0)
    server.latency_s = 0.01
    totals: list[FetchTotals] = []

    def run() -> None:
        totals.append(fetch(database, server, [image], workers=2))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    looks = [(row.ra, row.dec) for row in look_ups(database) if row.kind == "moving"]
    assert len(looks) == len(set(looks)) > 8
    assert sum(t.complete for t in totals) == len(looks)
    assert all(t.complete for t in totals), "both should have had their share"


def test_it_stops_when_told_to_and_goes_on_later(database: Database, server: SkybotServer) -> None:
    image = add_image(database, side_deg=3.0)
    done: list[FetchTotals] = []
    first = fetch(database, server, [image], workers=1, progress=done.append, should_stop=lambda: len(done) >= 4)
    assert 4 <= first.complete < first.planned
    second = fetch(database, server, [image])
    assert second.skipped == first.complete
    assert second.complete == first.planned - first.complete


def test_the_seeds_reading_is_asked_for_on_request_and_is_of_no_use_to_others(
    database: Database, server: SkybotServer
) -> None:
    image = add_image(database)
    with database.connect() as connection:
        set_literal_time(connection, image, MID_EXPOSURE - timedelta(days=1, minutes=20))
    server.objects.append(asteroid_there(MID_JD - 1 - 20 / 1440, "3 Juno"))
    assert fetch(database, server, [image], reading="literal").complete == 1
    assert fetch(database, server, [image]).complete == 1
    literal, corrected = [row for row in look_ups(database) if row.kind == "moving"]
    assert (literal.epoch_jd, corrected.epoch_jd) == pytest.approx((MID_JD - 1 - 20 / 1440, MID_JD), abs=2e-6)
    # The service saw both epochs.
    asked = {round(float(request.first("-ep")), 3) for request in server.requests if request.first("-ep")}
    assert asked == {round(MID_JD - 1 - 20 / 1440, 3), round(MID_JD, 3)}
    query = text("SELECT lookup_id FROM ref.looks_in_time(:i, 'skybot', :reading, :instant)")
    with database.connect() as connection:
        for reading, instant, expected in (
            ("literal", "start", [literal.lookup_id]), ("corrected", "mid", [corrected.lookup_id]),
            ("corrected", "start", []), ("decimal_hours", "start", []),
        ):  # fmt: skip
            found = connection.scalars(query, {"i": image, "reading": reading, "instant": instant}).all()
            assert found == expected, reading


@pytest.mark.parametrize("image_id", [77, 1])
def test_an_image_that_is_not_there_or_was_refused_cannot_be_looked_at(connection: Connection, image_id: int) -> None:
    image_in(connection, "plain", 0.5)
    connection.execute(text("UPDATE plate.image SET status = 'refused', status_reason = 'POSS-II'"))
    with pytest.raises(InputError, match=f"image {image_id} is not stored, or was refused"):
        plan_moving(connection, SKYBOT, [image_id], max_radius_deg=1.0)
