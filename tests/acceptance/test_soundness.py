"""Whatever goes wrong with look-ups, nothing becomes a candidate that is none; once it is over, all that are, do."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
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
from servers.faults import Kind, faults_of
from servers.http import Request, ServiceServer
from servers.tap import TapServer
from servers.xmatch import XMatchServer
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
STEP_ARCSEC = 90.0
# Those that cost time are in the matrix of faults.
SLOW = {"first_byte_timeout", "slow_drip", "http_429_retry_after"}


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
    max_radius_deg: float = 1.0
    list_rows: int = 300


@dataclass
class Field:
    """An image with detections, the stars about it, and the services that have them."""

    kinds: Sequence[str]
    ra_deg: float
    number: int = field(default_factory=lambda: next(fields))
    detections: SkyCoord = field(init=False)
    gaia: TapServer = field(init=False)
    ps1: XMatchServer = field(init=False)
    candidates: set[int] = field(init=False)
    """What has no star at it on the night of the exposure, by astropy's own motion and distance."""

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.number)
        n = len(self.kinds)
        grid = np.array([(i % 4 - 1.5, i // 4 - 1.0) for i in range(n)]) * STEP_ARCSEC
        east, north = (grid + random.uniform(-9, 9, (n, 2))).T * u.arcsec
        self.detections = SkyCoord(self.ra_deg, self.dec_deg, unit="deg").spherical_offsets_by(east, north)
        off = random.uniform(0, 3, n) * u.arcsec
        near = self.detections.directional_offset_by(random.uniform(0, 360, n) * u.deg, off)
        kinds = np.array(self.kinds)
        then = np.isin(kinds, ["in Gaia", "in both", "was here then"])
        since = kinds == "moved here since"
        motion = np.where((kinds == "was here then") | since, 600.0, 20.0) * u.mas / u.yr
        angle = random.uniform(0, 2 * np.pi, n)
        stars = SkyCoord(
            near.ra, near.dec, pm_ra_cosdec=motion * np.sin(angle), pm_dec=motion * np.cos(angle),
            distance=np.full(n, 1000.0) * u.pc, obstime=PLATE,
        )  # fmt: skip
        moved = stars.apply_space_motion(new_obstime=GAIA)
        here = SkyCoord(near.ra, near.dec, pm_ra_cosdec=stars.pm_ra_cosdec, pm_dec=stars.pm_dec,
                        distance=stars.distance, obstime=GAIA)  # fmt: skip
        gaia_ra, gaia_dec = (np.concatenate([getattr(moved, x).deg[then], getattr(here, x).deg[since]])
                             for x in ("ra", "dec"))  # fmt: skip
        motions = [np.concatenate([getattr(stars, x).value[then], getattr(stars, x).value[since], [0.0]])
                   for x in ("pm_ra_cosdec", "pm_dec")]  # fmt: skip
        of_ps1 = np.isin(kinds, ["in PS1", "in both"])
        gaia = published("gaia_dr3", "vizier_tap", [*gaia_ra % 360, CANARY[0]], [*gaia_dec, CANARY[1]], *motions)
        ps1_ra, ps1_dec = near.ra.deg[of_ps1] % 360, near.dec.deg[of_ps1]
        ps1 = published("ps1_dr2", "cds_xmatch", [*ps1_ra, CANARY[0]], [*ps1_dec, CANARY[1]])
        # No field has another's stars.
        gaia.table["Source"] += 1000 * self.number
        ps1.table["objID"] += 1000 * self.number
        self.gaia, self.ps1 = TapServer([gaia]), XMatchServer([ps1])
        known = SkyCoord(
            np.concatenate([near.ra.deg[then], here.apply_space_motion(new_obstime=PLATE).ra.deg[since],
                            near.ra.deg[of_ps1]]),
            np.concatenate([near.dec.deg[then], here.apply_space_motion(new_obstime=PLATE).dec.deg[since],
                            near.dec.deg[of_ps1]]), unit="deg",
        )  # fmt: skip
        nearest = np.array([each.separation(known).arcsec.min(initial=999.0) for each in self.detections])
        self.candidates = {int(i) for i in np.flatnonzero(nearest > 5.0) + 1}

    @property
    def dec_deg(self) -> float:
        return -29.0 + 0.35 * (64 * self.number % 331)

    def put_into(self, database: Database) -> None:
        """Its image and its detections."""
        with database.connect() as connection:
            toy = ToySky(connection)
            toy._ids = itertools.count(self.number)
            assert toy.extraction(self.ra_deg, self.dec_deg, 0.08) == self.number
            toy.detections(self.number, self.detections.ra.deg, self.detections.dec.deg)

    def fetch(self, database: Database, how: Round) -> FetchTotals:
        """Ask both services, which fail as they are told."""
        with schedule(self.gaia, how.gaia):
            definition = at_service("gaia_dr3", *CANARY)
            services = {"vizier_tap": self.settings(self.gaia, how)}
            area = Target("field", Cone(self.ra_deg, self.dec_deg, 0.07))
            plan = plan_areas(database, services, definition, [area], service_name="vizier_tap")
            totals = fetch_areas(database, services, definition, plan)
        with schedule(self.ps1, how.ps1):
            definition = at_service("ps1_dr2", *CANARY)
            services = {"cds_xmatch": self.settings(self.ps1, how)}
            source = list_source(definition, "cds_xmatch", services)
            n = len(self.kinds)
            positions = Positions(np.arange(1, n + 1), self.detections.ra.deg % 360, self.detections.dec.deg)
            client = ServiceClient("cds_xmatch", services["cds_xmatch"])
            return totals + fetch_positions(database, client, definition, source, positions)

    @staticmethod
    def settings(server: ServiceServer, how: Round) -> ServiceSettings:
        return impatient(
            server.protocol, server.url, first_byte_timeout_s=10.0, total_timeout_s=10.0, connections=1, row_cap=300,
            attempts=how.attempts, max_radius_deg=how.max_radius_deg, list_rows=how.list_rows,
        )  # fmt: skip

    def judged(self, database: Database) -> set[int]:
        """Its candidates as far as the database knows."""
        with database.connect() as connection:
            toy = ToySky(connection)
            for name in ("gaia_dr3", "ps1_dr2"):
                toy.match(self.number, name)
            return set(judge(connection, PROFILE, self.number))


class schedule:  # noqa: N801
    """Let a service fail in windows of the requests that come from now on, until the context ends."""

    def __init__(self, server: ServiceServer, windows: Sequence[Window]) -> None:
        self.server = server
        so_far = len(server.requests)
        for window in windows:
            server.fail(window.fault, times=None, when=self._when(window, so_far))

    @staticmethod
    def _when(window: Window, so_far: int) -> Callable[[Request], bool]:
        return lambda request: window.holds(request.number - so_far)

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self.server.heal()


def windows_of(protocol: str) -> st.SearchStrategy[list[Window]]:
    """Up to three windows, at most one of them of blindness.

    A service that sees nothing, sees its canary, and again sees nothing where something is, cannot be found out.
    """
    faults = sorted(set(faults_of(protocol, Kind.TRANSPORT, Kind.CONTENT)) - SLOW)
    window = st.builds(Window, st.sampled_from(faults), st.integers(0, 8), st.one_of(st.none(), st.integers(1, 5)))
    return st.lists(window, max_size=3).filter(lambda chosen: sum(w.fault == "empty" for w in chosen) < 2)


ROUNDS = st.builds(
    Round, gaia=windows_of("tap"), ps1=windows_of("xmatch"), attempts=st.sampled_from([1, 1, 3]),
    max_radius_deg=st.sampled_from([1.0, 1.0, 0.07]), list_rows=st.sampled_from([300, 6]),
)  # fmt: skip
fields = itertools.count(1)
"""Each field has a place of its own, so that none is in the way of another."""


@pytest.fixture(scope="module")
def databases(temporary_database: Any, template_database: str) -> Iterator[tuple[Database, Database]]:
    """One whose look-ups fail, and one whose do not."""
    with temporary_database(template_database) as one, temporary_database(template_database) as other:
        yield one, other


def assert_sound(databases: tuple[Database, Database], field_of_view: Field, rounds: Sequence[Round]) -> None:
    """The property: candidates under faults are candidates without, and after the faults they are the same."""
    faulty, clean = databases
    with field_of_view.gaia, field_of_view.ps1:
        field_of_view.put_into(clean)
        assert field_of_view.fetch(clean, Round()).failures == ()
        without = field_of_view.judged(clean)
        assert without == field_of_view.candidates, "without faults it is not as it is"
        field_of_view.put_into(faulty)
        assert field_of_view.judged(faulty) == set()
        for how in rounds:
            field_of_view.fetch(faulty, how)
            false = field_of_view.judged(faulty) - without
            assert not false, f"detections {false} are known stars"
        assert field_of_view.fetch(faulty, Round()).failures == ()
        assert field_of_view.judged(faulty) == without, "afterwards it is not as it is without faults"


@settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(
    kinds=st.lists(st.sampled_from(KINDS), min_size=1, max_size=12),
    ra_deg=st.sampled_from([0.0, 0.002, 90.0, 200.3]),
    rounds=st.lists(ROUNDS, min_size=1, max_size=2),
)
def test_candidates_under_faults_are_candidates_without_and_the_same_afterwards(
    databases: tuple[Database, Database], kinds: list[str], ra_deg: float, rounds: list[Round]
) -> None:
    assert_sound(databases, Field(kinds, ra_deg), rounds)


BLIND = Window("empty", 2, None)
BREAKS: dict[str, tuple[Callable[[pytest.MonkeyPatch], None], Round]] = {
    "an empty answer is believed without its canary": (
        lambda patch: patch.setattr(Canary, "confirm", lambda *_: None), Round(gaia=[BLIND])
    ),
    "a list is believed without its canaries": (
        lambda patch: patch.setattr(_ListFetch, "_refuse_wrong_canaries", lambda *_: None),
        Round(ps1=[Window("empty", 0, None)]),
    ),
    "an overflow is overlooked": (
        lambda patch: patch.setattr("vascodb.loaders.client.votable._check_status", lambda _: None),
        Round(gaia=[Window("overflow", 2, None)]),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BREAKS)
def test_the_property_finds_an_engine_that_is_broken(
    databases: tuple[Database, Database], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    break_it, how = BREAKS[name]
    assert_sound(databases, Field(KINDS * 2, 90.0), [how])
    break_it(monkeypatch)
    with pytest.raises(AssertionError, match="are known stars"):
        assert_sound(databases, Field(KINDS * 2, 90.0), [how])
