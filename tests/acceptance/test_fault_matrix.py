"""Every service with every fault that it can have: no star vanishes, the fault is on record, the next try completes."""

import contextlib
import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faultworlds import IMPATIENT, SERVICES, Patch, Vectors, World, vectors, world_of
from fitsbytes import header_size
from localservice import impatient
from plateimages import cutout_header, image_file, plate_header, tan_keys
from scipy.spatial import KDTree
from servers.faults import FAULTS, Kind, dead_endpoint, faults_of
from servers.files import FileServer
from servers.http import Request, ServiceServer
from servers.stsci import StsciServer
from sqlalchemy import text

from vascodb.db import Database
from vascodb.loaders.client.ask import ServiceClient
from vascodb.loaders.client.failure import Cause
from vascodb.loaders.client.services import default_services
from vascodb.loaders.images.irsa import IrsaPlates, wanted_plate
from vascodb.loaders.images.stsci import StsciCutouts, wanted_tile
from vascodb.loaders.images.wanted import ImageSource, WantedImage
from vascodb.loaders.regions import Cone
from vascodb.pipeline.fetching import ImageFetch
from vascodb.plates.footprint import cells

SAME = np.radians(0.01 / 3600)

CAUSES = {
    # No conversation.
    "refused": Cause.REFUSED,
    "dns": Cause.DNS,
    "tls": Cause.TLS,
    "tls_self_signed": Cause.TLS,
    "connect_timeout": Cause.CONNECT_TIMEOUT,
    # On the way.
    "first_byte_timeout": Cause.FIRST_BYTE_TIMEOUT,
    "slow_drip": Cause.TOO_SLOW,
    "reset_mid_body": Cause.RESET,
    "http_429": Cause.RATE_LIMITED,
    "http_429_retry_after": Cause.RATE_LIMITED,
    "http_500": Cause.UNAVAILABLE,
    "http_502": Cause.UNAVAILABLE,
    "http_503": Cause.UNAVAILABLE,
    "http_504": Cause.UNAVAILABLE,
    "html_maintenance": Cause.NOT_THE_FORMAT,
    "truncated_body": Cause.TRUNCATED,
    "short_body": Cause.RESET,
    "truncated_gzip": Cause.TRUNCATED,
    "empty_body": Cause.TRUNCATED,
    # In what is said.
    "service_error": Cause.SERVICE_ERROR,
    "overflow": Cause.OVERFLOW,
    "exactly_cap": Cause.ROW_CAP,
    "empty": Cause.CANARY,
    "header_only": Cause.TRUNCATED,
    "missing_column": Cause.MISSING_COLUMN,
    "wrong_unit": Cause.WRONG_UNIT,
    "duplicate_rows": Cause.DUPLICATE_ROWS,
    "wrong_sky": Cause.WRONG_SKY,
    "nan_position": Cause.BAD_ROWS,
}
OTHERWISE = {
    # JSON has no units: radians are told by where they are. Nor does an empty table look any different
    # from one that lost its rows.
    ("mast_catalogs", "wrong_unit"): Cause.WRONG_SKY,
    ("mast_catalogs", "header_only"): Cause.CANARY,
    # A cut answer is not flagged; the canary behind the list is not in it.
    ("cds_xmatch", "overflow"): Cause.CANARY,
    # Errors are pages for people. Whole plates are asked for as they are, not packed.
    ("stsci_dss", "service_error"): Cause.NOT_THE_FORMAT,
    ("irsa_plates", "truncated_gzip"): Cause.NOT_THE_FORMAT,
}
"""What is on record where a protocol has no words for a fault."""


@dataclass(frozen=True)
class Aim:
    """Which requests a fault befalls, and what is on record of it then.

    ``asked_so_far`` are those before the try.
    """

    befalls: Callable[[World, int], Callable[[Request], bool] | None]
    cause: Cause


def everything(_: World, asked_so_far: int) -> None:
    return None


def all_but_the_canary(world: World, asked_so_far: int) -> Callable[[Request], bool]:
    return lambda request: not world.is_about_canary(request)


def all_but_the_first_canary(_: World, asked_so_far: int) -> Callable[[Request], bool]:
    return lambda request: request.number >= asked_so_far + 2


def results(_: World, asked_so_far: int) -> Callable[[Request], bool]:
    return lambda request: request.path.endswith("/results/result")


def wide_cones(_: World, asked_so_far: int) -> Callable[[Request], bool]:
    return lambda request: float(request.first("radius") or 0) > 0.02


def aims(world: World, fault: str) -> list[Aim]:
    """A fault befalls everything that is asked, or only the question proper: both must be noticed.

    One thing cannot be: a service that sees its canary, and answers one question falsely but properly
    with no rows, each time that it is asked. docs/how-to/look-ups.md says so.
    """
    kind = FAULTS[fault].kind
    cause = OTHERWISE.get((world.service, fault), CAUSES[fault])
    if (world.service, fault) == ("mast_catalogs", "overflow"):
        # Its canary is one row, of which no half can be left out; nor can it be in the smallest of parts.
        return [Aim(wide_cones, cause)]
    others: list[Aim] = []
    if kind is Kind.ENDPOINT:
        pass
    elif cause is Cause.CANARY and world.kind != "list":
        others = [Aim(all_but_the_first_canary, Cause.EMPTY_UNCONFIRMED)]
    elif world.kind == "area":
        others = [Aim(all_but_the_canary, cause)]
    elif world.kind == "moving":
        others = [Aim(all_but_the_first_canary, cause)]
    elif world.service == "irsa_tap" and kind is Kind.TRANSPORT:
        others = [Aim(results, cause)]
    return [Aim(everything, cause), *others]


CELLS = [(service, fault) for service, protocol in SERVICES.items() for fault in faults_of(protocol)]
SPLITS = [
    (service, fault) for service, fault in CELLS
    if service != "skybot" and OTHERWISE.get((service, fault), CAUSES[fault]).asks_for_less
]  # fmt: skip


def id_of(cell: tuple[str, str]) -> str:
    return "-".join(cell)


@pytest.fixture(scope="module")
def worlds(temporary_database, template_database: str) -> Iterator[Callable[[str], World]]:
    """The world of a service, made when it is needed; each has a database of its own."""
    made: dict[str, World] = {}
    with contextlib.ExitStack() as stack:

        def world(service: str) -> World:
            if service not in made:
                database = stack.enter_context(temporary_database(template_database))
                names = ["none", *faults_of(SERVICES[service]), "overflow once", "exactly_cap once"]
                made[service] = stack.enter_context(world_of(service, database, names))
            return made[service]

        yield world


@dataclass(frozen=True)
class Evidence:
    """What is on record."""

    look_ups: dict[int, Any]
    coverage: set[tuple[Any, ...]]


def evidence(world: World) -> Evidence:
    with world.database.connect() as connection:
        look_ups = {row.lookup_id: row for row in connection.execute(text("SELECT * FROM ref.lookup"))}
        coverage = {
            tuple(row)
            for row in connection.execute(
                text("""
                    SELECT lower(hpx29), upper(hpx29), lookup_id FROM ref.coverage
                    UNION ALL
                    SELECT image_id, 0, lookup_id FROM ref.moving_look WHERE complete
                """)
            )
        }
    return Evidence(look_ups, coverage)


def n_gaps(world: World) -> int:
    with world.database.connect() as connection:
        return int(connection.scalar(text("SELECT count(*) FROM ref.gap")) or 0)


def stored(world: World) -> Vectors:
    """Places of all that is stored, as unit vectors."""
    table = "ref.moving_object" if world.kind == "moving" else f'ref."{world.definition.name}"'
    with world.database.connect() as connection:
        rows = connection.execute(text(f"SELECT ra, dec FROM {table}")).all()
    return vectors([row.ra for row in rows], [row.dec for row in rows])


def all_in(some: Vectors, others: Vectors) -> bool:
    """Whether each of some places is among others."""
    return len(some) == 0 or (len(others) > 0 and bool(KDTree(others).query(some)[0].max() < SAME))


def assert_nothing_false(world: World, patch: Patch, states: dict[int, str]) -> None:
    """No star is clear, nothing is clear without a complete look-up there, nothing is stored that is not there."""
    assert set(states) == set(patch.states)
    known = evidence(world)
    cell = cells(patch.ra_deg, patch.dec_deg)
    for number, state in states.items():
        if state == "clear":
            assert patch.states[number] == "clear", f"detection {number} is a star, and said to be clear"
            vouching = {
                look for low, high, look in known.coverage
                if (low == patch.extraction_id if world.kind == "moving" else low <= cell[number - 1] < high)
            }  # fmt: skip
            assert any(known.look_ups[look].complete for look in vouching)
        if state == "matched":
            assert patch.states[number] == "matched"
    here = stored(world)
    assert all_in(here, world.truth), "something is stored that is not in the sky"
    assert len(here) < 2 or KDTree(here).query(here, k=2)[0][:, 1].min() > SAME, "something is stored twice"


def assert_complete_is_complete(world: World, new: Sequence[Any]) -> None:
    """Everything in the cones of complete look-ups is stored."""
    here = stored(world)
    for look in new:
        if look.complete and look.kind == "area":
            cone = Cone.parse(re.sub("^cone ", "", look.region))
            distance = np.linalg.norm(world.truth - vectors([cone.ra_deg], [cone.dec_deg]), axis=1)
            assert all_in(world.truth[distance < 2 * np.sin(np.radians(cone.radius_deg) / 2) - SAME], here)


def assert_all_known(world: World, patch: Patch) -> None:
    """Every detection is what it is without any fault, and nothing is left to be tried again."""
    states = world.match(patch)
    assert states == patch.states
    assert_nothing_false(world, patch, states)


@pytest.mark.parametrize("service", SERVICES)
def test_without_a_fault_all_is_known(worlds: Callable[[str], World], service: str) -> None:
    world = worlds(service)
    patch = world.patches["none"]
    assert set(world.match(patch).values()) == {"not_covered"}
    totals = world.fetch(patch, world.healthy())
    assert (totals.complete, totals.failed, totals.split) == (1, 0, 0)
    assert_all_known(world, patch)


@pytest.mark.parametrize("cell", CELLS, ids=id_of)
def test_fault(worlds: Callable[[str], World], cell: tuple[str, str]) -> None:
    service, fault = cell
    world = worlds(service)
    patch = world.patches[fault]
    gaps_before = n_gaps(world)
    for aim in aims(world, fault):
        before = evidence(world)
        with world.faulty(fault, None, aim.befalls(world, len(world.server.requests))) as client:
            totals = world.fetch(patch, client)
        after = evidence(world)
        new = [look for number, look in after.look_ups.items() if number not in before.look_ups]
        bad = [look for look in new if not look.complete and look.kind != "canary"]
        states = world.match(patch)
        assert_nothing_false(world, patch, states)
        assert_complete_is_complete(world, new)
        assert {look.cause for look in bad} == {aim.cause.value}
        assert all(look.error and look.endpoint and look.service == service for look in bad)
        assert {look.status for look in bad} <= {"failed", "split"}
        if aim.cause.asks_for_less and states == patch.states:
            break  # In parts it went well.
        assert totals.failed == len([look for look in bad if look.status == "failed"]) > 0
        if not aim.cause.asks_for_less:
            assert after.coverage == before.coverage
            assert set(states.values()) == ({"unknown", "not_covered"} if totals.given_up else {"unknown"})
    totals = world.fetch(patch, world.healthy())
    assert (totals.failed, totals.given_up) == (0, 0)
    assert_all_known(world, patch)
    assert n_gaps(world) == gaps_before


@pytest.mark.parametrize("cell", SPLITS, ids=id_of)
def test_an_answer_that_is_cut_once_is_asked_for_in_parts_at_once(
    worlds: Callable[[str], World], cell: tuple[str, str]
) -> None:
    service, fault = cell
    world = worlds(service)
    patch = world.patches[f"{fault} once"]
    before = evidence(world)
    with world.faulty(fault, 1, lambda request: not world.is_about_canary(request)) as client:
        totals = world.fetch(patch, client)
    new = [look for number, look in evidence(world).look_ups.items() if number not in before.look_ups]
    assert (totals.split, totals.failed) == (1, 0)
    assert [look.cause for look in new if look.status == "split"] == [CAUSES[fault]]
    assert_complete_is_complete(world, new)
    assert_all_known(world, patch)


IMAGES = {"stsci_dss": "stsci", "irsa_plates": "files"}
"""Archives of images, and the protocol of each."""
OTHER_FILES = {"wrong_sky": Cause.WRONG_SKY, "header_only": Cause.TRUNCATED, "cut_at_its_source": Cause.TRUNCATED}
"""Whole answers that are not the image: faults of their own where no table is asked for."""
IMAGE_CELLS = [(service, fault) for service in IMAGES for fault in [*faults_of(IMAGES[service]), *OTHER_FILES]]


@dataclass(frozen=True)
class Archive:
    """An archive of one image, what is asked for in it, and how to put another file there."""

    server: ServiceServer
    source: ImageSource
    image: bytes
    other_sky: bytes
    wanted: Callable[[int], WantedImage]
    put: Callable[[bytes], None]

    def other_file(self, fault: str) -> bytes:
        if fault == "wrong_sky":
            return self.other_sky
        return self.image[: header_size(self.image) if fault == "header_only" else len(self.image) // 2]


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Archive]]:
    """Both archives: the one cuts out the same square wherever it is asked, the other has one plate."""
    folder = tmp_path_factory.mktemp("made")

    def cutout(ra_deg: float) -> bytes:
        header = cutout_header(SURVEY="POSSI-E", REGION="XE100", **tan_keys(30.5, ra_deg, 24.0))
        return image_file(folder / "made.fits", header).read_bytes()

    def plate(name: str) -> bytes:
        big = {"NAXIS1": 300, "NAXIS2": 300, "XPIXELSZ": 1180.0, "YPIXELSZ": 1180.0}
        return image_file(folder / "made.fits", plate_header(SURVEY="POSSI-E", REGION=name, **big)).read_bytes()

    with StsciServer(lambda *_: cutout(142.5)) as stsci, FileServer() as files:

        def put_cutout(image: bytes) -> None:
            stsci.cut_out = lambda *_: image

        def put_plate(image: bytes) -> None:
            files.put("/dss1red/dss1red_XE100.fits", image)

        def wanted_cutout(number: int) -> WantedImage:
            # A hair more is another request.
            return wanted_tile(142.5, 24.0, 1.7 + number / 100)

        yield {
            "stsci_dss": Archive(stsci, StsciCutouts(), cutout(142.5), cutout(100.0), wanted_cutout, put_cutout),
            "irsa_plates": Archive(
                files, IrsaPlates(), plate("XE100"), plate("XE101"), lambda _: wanted_plate("XE100"), put_plate
            ),
        }


@pytest.fixture(scope="module")
def image_database(temporary_database: Any, template_database: str) -> Iterator[Database]:
    """Where it is recorded what was asked of archives."""
    with temporary_database(template_database) as database:
        yield database


@pytest.mark.parametrize("cell", IMAGE_CELLS, ids=id_of)
def test_image_fault(
    archives: dict[str, Archive], image_database: Database, tmp_path: Path, cell: tuple[str, str]
) -> None:
    """Nothing is kept that is not the whole image; the fault is on record; the next try brings it."""
    service, fault = cell
    archive = archives[service]
    wanted = archive.wanted(IMAGE_CELLS.index(cell))
    path = tmp_path / wanted.file_name

    def fetch(root: str) -> tuple[Any, ...]:
        patience = dict.fromkeys(IMPATIENT.values(), 10.0) | ({IMPATIENT[fault]: 0.3} if fault in IMPATIENT else {})
        client = ServiceClient(service, impatient("dss", root + archive.server.base_path, **patience))
        # The one plate is asked for time and again.
        ImageFetch(image_database, client, archive.source, tmp_path, force=True).run([wanted], 1)
        with image_database.connect() as connection:
            return tuple(
                connection.execute(
                    text("SELECT state, cause, sha256, path FROM plate.fetch WHERE fetch_id = :id"),
                    {"id": wanted.fetch_id},
                ).one()
            )

    archive.put(archive.other_file(fault) if fault in OTHER_FILES else archive.image)
    with contextlib.ExitStack() as stack:
        root = archive.server.root
        if fault not in OTHER_FILES and FAULTS[fault].kind is Kind.ENDPOINT:
            root = stack.enter_context(dead_endpoint(fault))
        elif fault not in OTHER_FILES:
            stack.callback(archive.server.heal)
            archive.server.fail(fault, times=None)
        cause = OTHER_FILES.get(fault) or OTHERWISE.get(cell, CAUSES[fault])
        assert fetch(root) == ("retryable", cause.value, None, None)
        assert not path.exists()
    archive.put(archive.image)
    assert fetch(archive.server.root) == ("ok", None, sha256(archive.image).hexdigest(), str(path))
    assert path.read_bytes() == archive.image
    assert [file.name for file in tmp_path.iterdir()] == [wanted.file_name]


def test_the_matrix_has_every_service_and_twenty_faults_for_each() -> None:
    count = Counter(service for service, _ in {*CELLS, *IMAGE_CELLS})
    assert min(count.values()) >= 20
    # Outlines of surveys are no evidence of themselves: without one nothing is covered.
    assert set(count) | {"cds_moc"} == set(default_services())
