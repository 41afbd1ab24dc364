"""Whatever goes wrong with look-ups, nothing is taken for vanished that is there; once it is over, all is as it is."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord
from astropy.time import Time
from gapsky import at_service, judge, published, vetoes
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from localservice import impatient
from servers.http import Request, ServiceServer
from servers.tap import TapServer
from servers.xmatch import XMatchServer
from sqlalchemy import text
from toysky import ToySky

from vascodb.db import Database
from vascodb.loaders.client.answers import Positions
from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.fetch.canary import Canary
from vascodb.loaders.fetch.lists import _ListFetch, fetch_positions
from vascodb.loaders.fetch.reference import fetch_areas, plan_areas
from vascodb.loaders.fetch.targets import Target
from vascodb.loaders.fetch.totals import FetchTotals
from vascodb.loaders.regions import Cone
from vascodb.loaders.sources.registry import list_source

PROFILE = vetoes("gaia", "ps1")
PLATE, GAIA = Time(1952.0, format="jyear"), Time(2016.0, format="jyear")
KINDS = ("nothing", "in Gaia", "in PS1", "in both", "moved here since", "was here then")
CANARY = (5.6, 10.0)
IN_A_GROUP = 4
# One fault of each kind; the matrix has them all.
FAULTS = (
    "http_503", "html_maintenance", "reset_mid_body", "truncated_body", "service_error", "overflow", "exactly_cap",
    "header_only", "missing_column", "wrong_unit", "duplicate_rows", "wrong_sky", "nan_position",
)  # fmt: skip


@dataclass(frozen=True)
class Window:
    """A fault of a service that befalls some requests in a row; all from ``first`` on without a length."""

    fault: str
    first: int
    length: int | None

    def holds(self, number: int) -> bool:
        return self.first <= number and (self.length is None or number < self.first + self.length)


@dataclass(frozen=True)
class Round:
    """One try: the faults of each service meanwhile, and how it is asked."""

    gaia: Sequence[Window] = ()
    ps1: Sequence[Window] = ()
    attempts: int = 1
    list_rows: int = 300


class Field:
    """An image with groups of detections, the stars about it, and the services that have those.

    Gaia is asked for the sky about each group, PS1 for lists of the detections.
    """

    _numbers = itertools.count(1)

    def __init__(self, kinds: Sequence[str], ra_deg: float) -> None:
        # Each has a place and stars of its own, so that none is in the way of another.
        self.number = next(self._numbers)
        random = np.random.default_rng(self.number)
        n = len(kinds)
        self.place = SkyCoord(ra_deg, -29.0 + 0.35 * (64 * self.number % 331), unit="deg")
        group, within = np.divmod(np.arange(n), IN_A_GROUP)
        self.groups = self.place.spherical_offsets_by(np.unique(group) * 0.25 * u.deg, 0 * u.deg)
        corner = 45.0 * np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])[within] + random.uniform(-9, 9, (n, 2))
        self.detections = self.groups[group].spherical_offsets_by(corner[:, 0] * u.arcsec, corner[:, 1] * u.arcsec)
        near = self.detections.directional_offset_by(
            random.uniform(0, 360, n) * u.deg, random.uniform(0, 3, n) * u.arcsec
        )
        kind = np.array(kinds)
        is_fast = np.isin(kind, ["moved here since", "was here then"])
        in_gaia = is_fast | np.isin(kind, ["in Gaia", "in both"])
        at_detection = np.where(kind == "moved here since", GAIA.jyear, PLATE.jyear)
        stars = _moving(random, near, np.where(is_fast, 600.0, 20.0))
        now, then = (_at(stars, at_detection, epoch)[in_gaia] for epoch in (GAIA, PLATE))
        motion = [pm.to_value(u.mas / u.yr)[in_gaia] for pm in (stars.pm_ra_cosdec, stars.pm_dec)]
        ps1 = near[np.isin(kind, ["in PS1", "in both"])]
        gaia_sky = published(
            "gaia_dr3", "vizier_tap", [*now.ra.deg % 360, CANARY[0]], [*now.dec.deg, CANARY[1]],
            *([*pm, 0.0] for pm in motion),
        )  # fmt: skip
        ps1_sky = published("ps1_dr2", "cds_xmatch", [*ps1.ra.deg % 360, CANARY[0]], [*ps1.dec.deg, CANARY[1]])
        gaia_sky.table["Source"] += 1000 * self.number
        ps1_sky.table["objID"] += 1000 * self.number
        self.gaia, self.ps1 = TapServer([gaia_sky]), XMatchServer([ps1_sky])
        self.clear = {"gaia_dr3": self._without(then), "ps1_dr2": self._without(ps1)}
        """By brute force: detections at which a catalogue has nothing on the night of the exposure."""

    def _without(self, stars: SkyCoord) -> set[int]:
        nearest = [each.separation(stars).arcsec.min(initial=999.0) for each in self.detections]
        return {int(i) for i in np.flatnonzero(np.array(nearest) > 5.0) + 1}

    def put_into(self, database: Database) -> None:
        """Its image and its detections."""
        with database.connect() as connection:
            toy = ToySky(connection)
            toy._ids = itertools.count(self.number)
            assert toy.extraction(float(self.place.ra.deg), float(self.place.dec.deg), 1.2) == self.number
            toy.detections(self.number, self.detections.ra.deg % 360, self.detections.dec.deg)

    def fetch(self, database: Database, how: Round) -> FetchTotals:
        """Ask both services, which fail as they are told."""
        with failing(self.gaia, how.gaia):
            definition = at_service("gaia_dr3", *CANARY)
            services = {"vizier_tap": _settings(self.gaia, how)}
            areas = [
                Target(f"group {i}", Cone(float(group.ra.deg) % 360, float(group.dec.deg), 0.03))
                for i, group in enumerate(self.groups)
            ]
            plan = plan_areas(database, services, definition, areas, service_name="vizier_tap")
            totals = fetch_areas(database, services, definition, plan)
        with failing(self.ps1, how.ps1):
            definition = at_service("ps1_dr2", *CANARY)
            services = {"cds_xmatch": _settings(self.ps1, how)}
            source = list_source(definition, "cds_xmatch", services)
            numbers = np.arange(1, len(self.detections) + 1)
            positions = Positions(numbers, self.detections.ra.deg % 360, self.detections.dec.deg)
            client = ServiceClient("cds_xmatch", services["cds_xmatch"])
            return totals + fetch_positions(database, client, definition, source, positions)

    def judged(self, database: Database) -> tuple[dict[str, set[int]], set[int]]:
        """What is clear by each catalogue, and the candidates, as far as the database knows."""
        with database.connect() as connection:
            toy = ToySky(connection)
            for name in self.clear:
                toy.match(self.number, name)
            rows = connection.execute(
                text("SELECT catalog, number FROM vasco.match WHERE extraction_id = :id AND state = 'clear'"),
                {"id": self.number},
            ).all()
            clear = {name: {row.number for row in rows if row.catalog == name} for name in self.clear}
            return clear, set(judge(connection, PROFILE, self.number))


def _moving(random: np.random.Generator, places: SkyCoord, motion_masyr: Any) -> SkyCoord:
    angle = random.uniform(0, 2 * np.pi, len(places))
    return SkyCoord(
        places.ra, places.dec, pm_ra_cosdec=motion_masyr * np.sin(angle) * u.mas / u.yr,
        pm_dec=motion_masyr * np.cos(angle) * u.mas / u.yr, distance=np.full(len(places), 1000.0) * u.pc,
    )  # fmt: skip


def _at(stars: SkyCoord, given_jyear: Any, epoch: Time) -> SkyCoord:
    """Where stars are at an epoch, which were given where they are in other years."""
    moved = stars.apply_space_motion(dt=(epoch.jyear - given_jyear) * u.yr)
    return SkyCoord(moved.ra, moved.dec)


def _settings(server: ServiceServer, how: Round) -> ServiceSettings:
    return impatient(
        server.protocol, server.url, first_byte_timeout_s=10.0, total_timeout_s=10.0, connections=1, row_cap=300,
        attempts=how.attempts, list_rows=how.list_rows,
    )  # fmt: skip


@contextmanager
def failing(server: ServiceServer, windows: Sequence[Window]) -> Iterator[None]:
    """Let a service fail in windows of the requests that come from now on, until the context ends."""
    so_far = len(server.requests)

    def befalls(window: Window) -> Callable[[Request], bool]:
        return lambda request: window.holds(request.number - so_far)

    for window in windows:
        server.fail(window.fault, times=None, when=befalls(window))
    try:
        yield
    finally:
        server.heal()


def windows(first: st.SearchStrategy[int]) -> st.SearchStrategy[list[Window]]:
    """One request in three fails in some way, and half of the services are blind for a time.

    A service that sees nothing, sees its canary, and again sees nothing where something is, cannot be found out:
    so none is blind twice in a fetch.
    """
    each = st.lists(st.one_of(st.none(), st.none(), st.sampled_from(FAULTS)), min_size=8, max_size=8)
    blind = st.builds(Window, st.just("empty"), st.integers(0, 6), st.sampled_from([None, 1, 2, 3]))
    return st.builds(
        lambda start, faults, blindness: [
            *(Window(fault, start + i, 1) for i, fault in enumerate(faults) if fault), *blindness
        ],
        first, each, st.one_of(st.just([]), blind.map(lambda window: [window])),
    )  # fmt: skip


ROUNDS = st.builds(
    Round,
    # The first two requests of a fetch of areas are its canary; if that fails nothing else is asked.
    gaia=windows(st.sampled_from([2, 2, 2, 2, 0])),
    ps1=windows(st.just(0)),
    attempts=st.sampled_from([1, 1, 1, 3]),
    list_rows=st.sampled_from([300, 8, 8, 5]),
)


@pytest.fixture(scope="module")
def databases(temporary_database: Any, template_database: str) -> Iterator[tuple[Database, Database]]:
    """One whose look-ups fail, and one whose do not."""
    with temporary_database(template_database) as one, temporary_database(template_database) as other:
        yield one, other


def assert_sound(databases: tuple[Database, Database], view: Field, rounds: Sequence[Round]) -> None:
    """The property: what is clear or a candidate under faults is so without, and after the faults it is the same."""
    faulty, clean = databases
    with view.gaia, view.ps1:
        view.put_into(clean)
        assert view.fetch(clean, Round()).failures == ()
        without, candidates = view.judged(clean)
        assert without == view.clear
        assert candidates == set.intersection(*without.values())
        view.put_into(faulty)
        assert not view.judged(faulty)[1]
        for how in rounds:
            view.fetch(faulty, how)
            clear, under_faults = view.judged(faulty)
            false = {name: clear[name] - without[name] for name in clear}
            assert not any(false.values()), f"known stars are said to be clear: {false}"
            assert under_faults <= candidates
        assert view.fetch(faulty, Round()).failures == ()
        assert view.judged(faulty) == (without, candidates)


@settings(max_examples=20, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=20, max_size=20),
    ra_deg=st.sampled_from([0.0, 359.9, 90.0, 200.3]),
    rounds=st.lists(ROUNDS, min_size=1, max_size=2),
)
def test_candidates_under_faults_are_candidates_without_and_the_same_afterwards(
    databases: tuple[Database, Database], kinds: list[str], ra_deg: float, rounds: list[Round]
) -> None:
    assert_sound(databases, Field(kinds, ra_deg), rounds)


BREAKS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], Round]] = {
    "an empty answer is believed without its canary": (
        lambda patch: patch.setattr(Canary, "confirm", lambda *_: None),
        Round(gaia=[Window("empty", 2, None)]),
    ),
    "a list is believed without its canaries": (
        lambda patch: patch.setattr(_ListFetch, "_refuse_wrong_canaries", lambda *_: None),
        Round(ps1=[Window("empty", 0, None)]),
    ),
    "an overflow is overlooked": (
        lambda patch: patch.setattr("vascodb.loaders.client.votable._check_status", lambda _: None),
        Round(gaia=[Window("overflow", 2, None)]),
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_the_property_finds_an_engine_that_is_broken(
    databases: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    break_it, how = BREAKS[name]
    kinds = KINDS[1:] * 2
    assert_sound(databases, Field(kinds, 90.0), [how])
    break_it(monkeypatch)
    with pytest.raises(AssertionError, match="known stars are said to be clear"):
        assert_sound(databases, Field(kinds, 90.0), [how])
