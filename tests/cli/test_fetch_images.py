"""Images are downloaded once, whole or not at all, and what an archive lacks is remembered."""

import random
import shutil
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from email.message import Message
from pathlib import Path

import pytest
from commandline import Vascodb, assert_one_line
from plateimages import cutout_header, image_file, plate_header, tan_keys
from servers.faults import dead_endpoint
from servers.files import FileServer
from servers.http import Request, ServiceServer
from servers.stsci import StsciServer
from servers.transport import Answer, head

from vascodb.plates.images import read_image
from vascodb.plates.register import tile_of
from vascodb.plates.tiles import tile_centre, tile_name

HEADER = "plate_id,plate_tile_idx,tile_id,ra_deg,dec_deg,size_arcmin,survey"
STATES = "SELECT name, state, cause, attempts FROM plate.fetch ORDER BY name"
Cutouts = Callable[[float, float], bytes | None]


def settings_of(vascodb: Vascodb, stsci: str = "http://127.0.0.1:1", irsa: str = "http://127.0.0.1:1") -> None:
    lines = []
    for name, url in (("stsci_dss", stsci), ("irsa_plates", irsa)):
        lines += [
            f"[services.{name}]", f'endpoints = ["{url}"]', "attempts = 2", "backoff_s = 0.01", "per_second = 1000",
            "first_byte_timeout_s = 1", "total_timeout_s = 20", "connect_timeout_s = 1",
        ]  # fmt: skip
    (vascodb.home / "settings.toml").write_text("\n".join(lines))


@pytest.fixture(scope="module")
def cut_out(tmp_path_factory: pytest.TempPathFactory) -> Cutouts:
    """Cutouts of 60 pixels about any position."""
    folder = tmp_path_factory.mktemp("cutouts")
    made: dict[tuple[float, float], bytes] = {}

    def cut(ra: float, dec: float) -> bytes:
        if (ra, dec) not in made:
            header = cutout_header(REGION="XE901", SURVEY="POSSI-E", **tan_keys(30.5, ra, dec))
            made[ra, dec] = image_file(folder / "x.fits", header).read_bytes()
        return made[ra, dec]

    return cut


@contextmanager
def stsci(vascodb: Vascodb, cut: Cutouts) -> Iterator[StsciServer]:
    with StsciServer(lambda ra, dec, size, survey: cut(ra, dec)) as server:
        settings_of(vascodb, stsci=server.url)
        yield server


@contextmanager
def irsa(vascodb: Vascodb, files: dict[str, bytes]) -> Iterator[FileServer]:
    with FileServer({f"/DSS/{path}": content for path, content in files.items()}) as server:
        settings_of(vascodb, irsa=server.root + "/DSS")
        yield server


def plan_of(tmp_path: Path, positions: list[tuple[float, float]]) -> Path:
    rows = [
        f"XE{900 + n % 2},{n // 2},{tile_name(ra, dec)},{ra:.6f},{dec:.6f},1.7,dss1-red"
        for n, (ra, dec) in enumerate(positions)
    ]
    path = tmp_path / "plan.csv"
    path.write_text("\r\n".join([HEADER, *rows, ""]))
    return path


POSITIONS = [(10.0 * n, -25.0 + 7 * n) for n in range(8)]


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir()) if folder.exists() else []


def files_below(folder: Path) -> set[str]:
    return {p.name for p in folder.rglob("*") if p.is_file() and ".part" not in p.name}


def asked_positions(server: ServiceServer) -> list[tuple[float, float]]:
    return [(float(r.first("r")), float(r.first("d"))) for r in server.requests]


def test_a_tile_is_downloaded_once(vascodb: Vascodb, cut_out: Cutouts) -> None:
    with stsci(vascodb, cut_out) as server:
        first = vascodb.ok("fetch-tile", "--ra", 142.5, "--dec", 24, "--size", "1.7arcmin")
        path = Path(first.out.strip())
        assert path == vascodb.home / "images" / "tiles" / "dss1-red_142.500_24.000_1.7arcmin.fits"
        assert path.read_bytes() == cut_out(142.5, 24.0)
        again = vascodb.ok("fetch-tile", "--tile", "tile_RA142.500_DECp24.000", "--size", "1.7arcmin")
        assert again.out == first.out
        assert len(server.requests) == 1
        ((state, sha256, size, request),) = vascodb.sql("SELECT state, sha256, size_bytes, request FROM plate.fetch")
        assert (state, len(sha256), int(size)) == ("ok", 64, path.stat().st_size)
        assert '"ra_deg": 142.5' in request
        vascodb.ok("fetch-tile", "--ra", 142.5, "--dec", 24, "--size", "1.7arcmin", "--force")
        assert len(server.requests) == 2
        vascodb.ok("fetch-tile", "--ra", 142.5, "--dec", 24, "--size", "1.7arcmin", VASCO_FORCE_DOWNLOAD="1")
        assert len(server.requests) == 3


def test_a_file_that_was_lost_or_changed_is_downloaded_again(vascodb: Vascodb, cut_out: Cutouts) -> None:
    ask = ("fetch-tile", "--ra", 142.5, "--dec", 24, "--size", "1.7arcmin")
    with stsci(vascodb, cut_out) as server:
        path = Path(vascodb.ok(*ask).out.strip())
        path.unlink()
        vascodb.ok(*ask)
        assert len(server.requests) == 2
        path.write_bytes(path.read_bytes()[:-2880])
        vascodb.ok(*ask)
        assert len(server.requests) == 3
        assert path.read_bytes() == cut_out(142.5, 24.0)


def test_what_is_there_already_is_used_elsewhere_without_asking(
    vascodb: Vascodb, cut_out: Cutouts, tmp_path: Path
) -> None:
    ask = ("fetch-tile", "--ra", 142.5, "--dec", 24, "--size", "1.7arcmin")
    with stsci(vascodb, cut_out) as server:
        path = Path(vascodb.ok(*ask).out.strip())
        copied = Path(vascodb.ok(*ask, "-o", tmp_path / "mine").out.strip())
        assert copied.read_bytes() == path.read_bytes()
        assert copied.parent == tmp_path / "mine"
        # A file without a record: from another database, or left by a kill between the file and its row.
        vascodb.sql("DELETE FROM plate.fetch")
        vascodb.ok(*ask)
        assert vascodb.sql("SELECT state FROM plate.fetch") == [["ok"]]
        assert len(server.requests) == 1
        other = Path(vascodb.ok(*ask, VASCO_TILES_ROOT=str(tmp_path / "root")).out.strip())
        assert other == tmp_path / "root" / "tiles" / path.name
        assert len(server.requests) == 1


def test_a_plan_is_done_in_its_order_and_only_once(vascodb: Vascodb, cut_out: Cutouts, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, POSITIONS)
    with stsci(vascodb, cut_out) as server:
        dry = vascodb.ok("fetch-tile", "--plan", plan, "--dry-run")
        assert "would ask stsci_dss for 8 of 8 tiles" in dry.out
        some = vascodb.ok("fetch-tile", "--plan", plan, "--limit", 3)
        assert some.out.startswith("tiles: 3 there, 0 not of POSS-I, 0 unavailable, 0 to try again; 0 were known")
        assert "5 of 8" in vascodb.ok("fetch-tile", "--plan", plan, "--dry-run").out
        assert "for 2 of 4" in vascodb.ok("fetch-tile", "--plan", plan, "--plate", "XE900", "--dry-run").out
        vascodb.ok("fetch-tile", "--plan", plan)
        assert asked_positions(server) == POSITIONS
        assert server.max_concurrent == 1
        whole = vascodb.ok("fetch-tile", "--plan", plan)
        assert "8 there" in whole.out
        assert "8 were known already, 0.0 MB" in whole.out
        assert len(server.requests) == 8
    assert len(names(vascodb.home / "images" / "tiles")) == 8


def test_states_last_but_what_may_pass_is_tried_again(vascodb: Vascodb, cut_out: Cutouts, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, POSITIONS[:5])
    blue = cutout_header(REGION="XO901", SURVEY="POSSI-O", **tan_keys(30.5, *POSITIONS[1]))
    other = image_file(tmp_path / "x.fits", blue).read_bytes()

    def cut(ra: float, dec: float) -> bytes | None:
        return {POSITIONS[1]: other, POSITIONS[2]: None}.get((ra, dec), cut_out(ra, dec))

    with stsci(vascodb, cut) as server:
        server.fail("http_503", None, when=lambda request: float(request.first("r")) == POSITIONS[3][0])
        first = vascodb.run("fetch-tile", "--plan", plan)
        assert first.status == 4
        assert first.out.startswith("tiles: 2 there, 1 not of POSS-I, 1 unavailable, 1 to try again")
        assert first.err.splitlines()[-1].startswith("vascodb: 1 tiles failed; safe to run again")
        tiles = [tile_name(*position) for position in POSITIONS]
        assert sorted((name, state) for name, state, _, _ in vascodb.sql(STATES)) == sorted(
            [(tiles[0], "ok"), (tiles[1], "non_poss"), (tiles[2], "unavailable"), (tiles[3], "retryable"),
             (tiles[4], "ok")]
        )  # fmt: skip
        assert len(server.requests) == 6
        server.heal()
        second = vascodb.ok("fetch-tile", "--plan", plan)
        assert len(server.requests) == 7
        assert "3 there, 1 not of POSS-I, 1 unavailable, 0 to try again; 4 were known already" in second.out
        ((attempts,),) = vascodb.sql(f"SELECT attempts FROM plate.fetch WHERE name = '{tiles[3]}'")
        assert attempts == "3"
        assert vascodb.run("fetch-tile", "--plan", plan, "--force").status == 0
        assert len(server.requests) == 12


def test_one_image_that_is_not_to_be_had_is_an_error_of_one_line(module_vascodb: Vascodb, cut_out: Cutouts) -> None:
    ask = ("fetch-tile", "--ra", 142.5, "--dec", 24, "--size", "1.7arcmin")
    with stsci(module_vascodb, lambda ra, dec: None) as server:
        for _ in range(2):
            assert_one_line(module_vascodb.run(*ask), "tile_RA142.500_DECp24.000: unavailable", "--force asks again")
        assert len(server.requests) == 1
        server.fail("service_error", None)
        assert_one_line(
            module_vascodb.run(*ask, "--force"), "plate server does not respond", "safe to run again", status=4
        )
    with stsci(module_vascodb, cut_out):
        module_vascodb.ok(*ask)


@pytest.mark.parametrize("fault", ["refused", "connect_timeout"])
def test_a_dead_archive_is_given_up_soon(module_vascodb: Vascodb, tmp_path: Path, fault: str) -> None:
    plan = plan_of(tmp_path, POSITIONS)
    with dead_endpoint(fault) as url:
        settings_of(module_vascodb, stsci=url)
        outcome = module_vascodb.run("fetch-tile", "--plan", plan)
    assert outcome.status == 4
    assert "5 not tried because stsci_dss is down" in outcome.err
    assert fault in outcome.err


def test_a_row_of_pages_is_not_yet_a_dead_archive(vascodb: Vascodb, cut_out: Cutouts, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, POSITIONS)
    page = Answer(b"<html><body>Error 17</body></html>", 200, "text/html")
    with stsci(vascodb, cut_out) as server:
        plain = server.answer

        def answer(request: Request, fault: str | None) -> Answer:
            return page if float(request.first("r")) < 55 else plain(request, fault)

        server.answer = answer  # type: ignore[method-assign]
        settings = vascodb.home / "settings.toml"
        settings.write_text(settings.read_text().replace("attempts = 2", "attempts = 4"))
        first = vascodb.run("fetch-tile", "--plan", plan)
        assert first.status == 4
        assert "2 there, 0 not of POSS-I, 0 unavailable, 6 to try again" in first.out
        # It goes on saying so about the same tiles, while others come: that is its answer.
        other = ("fetch-tile", "--ra", 60, "--dec", 17, "--size", "1.7arcmin", "--force")
        vascodb.ok(*other)
        assert "6 to try again" in vascodb.run("fetch-tile", "--plan", plan).out
        assert "6 to try again" in vascodb.run("fetch-tile", "--plan", plan).out
        vascodb.ok(*other)
        assert "2 there, 0 not of POSS-I, 6 unavailable" in vascodb.ok("fetch-tile", "--plan", plan).out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ((), ["one of --tile, --ra with --dec, or --plan"]), (("--ra", "1"), ["--ra with --dec"]),
        (("--tile", "tile_RA1.000_DECp1.000", "--ra", "1", "--dec", "1"), ["one of"]),
        (("--tile", "XE486"), ["'XE486' is not the name of a tile"]),
        (("--ra", "400", "--dec", "1"), ["right ascension"]), (("--ra", "1", "--dec", "nan"), ["declination"]),
        (("--ra", "1", "--dec", "1", "--size", "2deg"), ["from 1 to 60 arcmin"]),
        (("--ra", "1", "--dec", "1", "--limit", "3"), ["go with --plan"]),
        (("--plan", "/nowhere.csv"), ["/nowhere.csv: cannot be read"]),
    ],
    ids=str,
)  # fmt: skip
def test_what_cannot_be_meant_is_one_line(
    module_vascodb: Vascodb, arguments: tuple[str, ...], words: list[str]
) -> None:
    assert_one_line(module_vascodb.run("fetch-tile", *arguments), *words)


def test_a_wrong_row_of_a_plan_stops_it_before_anything_is_asked(
    module_vascodb: Vascodb, cut_out: Cutouts, tmp_path: Path
) -> None:
    plan = plan_of(tmp_path, POSITIONS[:3])
    plan.write_text(plan.read_text().replace("20.000000", "0.0"))
    with stsci(module_vascodb, cut_out) as server:
        assert_one_line(module_vascodb.run("fetch-tile", "--plan", plan), "row 4, column ra_deg: 0.0 is not where")
        assert server.requests == []


def test_no_network_means_none_but_what_is_there_is_there(module_vascodb: Vascodb, cut_out: Cutouts) -> None:
    ask = ("fetch-tile", "--ra", 1, "--dec", 1, "--size", "1.7arcmin")
    with stsci(module_vascodb, cut_out) as server:
        outcome = module_vascodb.run(*ask, VASCO_STEP4_NO_FETCH="1")
        assert outcome.status == 1
        assert outcome.err.splitlines()[-1].startswith("vascodb: nothing is asked of any service")
        assert server.requests == []
        path = module_vascodb.ok(*ask).out
        assert module_vascodb.ok(*ask, VASCO_STEP4_NO_FETCH="1").out == path
        assert len(server.requests) == 1


def test_a_real_tile_that_was_fetched_can_be_ingested(module_vascodb: Vascodb, shared_data: Path) -> None:
    real = shared_data / "tiles" / "POSS1-E_XE486_M67_30arcmin.fits"
    image = read_image(real)
    with stsci(module_vascodb, lambda ra, dec: real.read_bytes()) as server:
        path = Path(module_vascodb.ok("fetch-tile", "--tile", tile_of(image), "--size", "30arcmin").out.strip())
        assert [r.first("w") for r in server.requests] == ["30.00"]
    assert path.read_bytes() == real.read_bytes()
    assert read_image(path).refusal is None


def test_a_simulated_tile_that_was_fetched_is_ingested(vascodb: Vascodb, small_simulation) -> None:
    content = small_simulation.image.read_bytes()
    tile = tile_of(read_image(small_simulation.image))
    with stsci(vascodb, lambda ra, dec: content):
        path = vascodb.ok("fetch-tile", "--tile", tile, "--size", "6arcmin").out.strip()
    vascodb.ok("load-reference", "gaia_edr3", small_simulation.reference, "--cone", "132.850192,11.800202,0.138deg")
    report = vascodb.run("ingest-tile", tile, "--fits", path, "--format", "json")
    assert report.status in (0, 3)
    assert report.value["tile_id"] == tile


def test_a_tile_that_is_ingested_by_its_name_is_downloaded_first(vascodb: Vascodb, small_simulation) -> None:
    content = small_simulation.image.read_bytes()
    tile = tile_of(read_image(small_simulation.image))
    ra, dec = tile_centre(tile)
    with stsci(vascodb, lambda ra, dec: content) as server:
        vascodb.ok("load-reference", "gaia_edr3", small_simulation.reference, "--cone", "132.850192,11.800202,0.138deg")
        by_name = vascodb.run("ingest-tile", tile, "--size", "6arcmin", "--format", "json")
        assert (by_name.status, by_name.value["tile_id"]) in ((0, tile), (3, tile))
        by_place = vascodb.run("ingest-tile", "--ra", ra, "--dec", dec, "--size", "6arcmin", "--format", "json")
        assert (by_place.status, by_place.value["tile_id"]) == (by_name.status, tile)
        assert len(server.requests) == 1
        server.fail("http_503", None)
        assert_one_line(vascodb.run("ingest-tile", "tile_RA1.000_DECp2.000"), "unavailable", "503", status=4)


BIG = {"NAXIS1": 700, "NAXIS2": 700, "XPIXELSZ": 505.7, "YPIXELSZ": 505.7}


@pytest.fixture(scope="module")
def plates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Whole plates of few, big pixels, by the path at the archive."""
    folder = tmp_path_factory.mktemp("plates")
    red = plate_header(SURVEY="POSSI-E", REGION="XE901", **BIG)
    blue = plate_header(SURVEY="POSSI-O", REGION="XO901", **BIG)
    return {
        "dss1red/dss1red_XE901.fits": image_file(folder / "x.fits", red).read_bytes(),
        "dss1blue/dss1blue_XO901.fits": image_file(folder / "x.fits", blue, seed=2).read_bytes(),
    }


def test_plates_of_both_colours_are_downloaded(module_vascodb: Vascodb, plates: dict[str, bytes]) -> None:
    with irsa(module_vascodb, plates) as server:
        told = module_vascodb.run("fetch-plate", "XE901", "XO901", "XE999")
        assert told.status == 0
        assert "plates: 2 there, 0 not of POSS-I, 1 unavailable" in told.out
        module_vascodb.ok("fetch-plate", "XE901", "XO901", "XE999")
        assert len(server.requests) == 3
    folder = module_vascodb.home / "images" / "plates"
    assert names(folder) == ["dss1blue_XO901.fits", "dss1red_XE901.fits"]
    assert (folder / "dss1red_XE901.fits").read_bytes() == plates["dss1red/dss1red_XE901.fits"]
    loaded = module_vascodb.ok("load-plates", folder / "dss1red_XE901.fits")
    assert "1 read, 1 new" in loaded.out


class SlowFileServer(FileServer):
    """Sends a plate in half a second, so that there is an instant to be killed at."""

    def __init__(self, files: dict[str, bytes]) -> None:
        super().__init__(files)
        self.n_sent = 0

    def serve(self, method: str, target: str, headers: Message, body: bytes, connection: socket.socket) -> bool:
        """Send the answer in pieces."""
        request = Request(len(self.requests), method, target, (), {}, dict(headers), body, 0.0)
        self.requests.append(request)
        answer = self.answer(request, None)
        connection.sendall(head(answer))
        for start in range(0, len(answer.body), PIECE):
            connection.sendall(answer.body[start : start + PIECE])
            self.n_sent += PIECE
            time.sleep(0.02)
        return True


PIECE = 40_000


def test_a_plate_killed_at_any_instant_is_continued_and_whole_in_the_end(
    vascodb: Vascodb, plates: dict[str, bytes]
) -> None:
    """Killed ten times: never is there a file that is not whole, and little is sent twice."""
    content = plates["dss1red/dss1red_XE901.fits"]
    folder = vascodb.home / "images" / "plates"
    instants = random.Random(3)
    with SlowFileServer({"/dss1red/dss1red_XE901.fits": content}) as server:
        settings_of(vascodb, irsa=server.root)
        n_killed = 0
        while n_killed < 10:
            n_asked = len(server.requests)
            running = vascodb.begin("fetch-plate", "XE901")
            deadline = time.monotonic() + 20
            while len(server.requests) == n_asked and time.monotonic() < deadline:
                time.sleep(0.005)
            time.sleep(instants.uniform(0.0, 0.1))
            running.kill(signal.SIGKILL)
            n_killed += running.wait().status == -signal.SIGKILL
            assert files_below(folder) <= {"dss1red_XE901.fits"}
            if (folder / "dss1red_XE901.fits").exists():
                assert (folder / "dss1red_XE901.fits").read_bytes() == content
                shutil.rmtree(folder)
                vascodb.sql("DELETE FROM plate.fetch")
        vascodb.ok("fetch-plate", "XE901")
        assert (folder / "dss1red_XE901.fits").read_bytes() == content
        assert names(folder) == ["dss1red_XE901.fits"]
        n_continued = sum("Range" in request.headers for request in server.requests)
        assert n_continued >= 5
        n_begun = len(server.requests) - n_continued
        assert server.n_sent < (n_begun + 1) * len(content) + 20 * 4 * PIECE


def test_two_side_by_side_ask_for_no_image_twice(vascodb: Vascodb, cut_out: Cutouts, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, POSITIONS)
    with stsci(vascodb, cut_out) as server:
        server.latency_s = 0.1
        running = [vascodb.begin("fetch-tile", "--plan", plan) for _ in range(2)]
        outcomes = [each.wait() for each in running]
        assert [outcome.status for outcome in outcomes] == [0, 0]
        assert all("8 there" in outcome.out for outcome in outcomes)
        assert sorted(asked_positions(server)) == sorted(POSITIONS)


def test_a_disk_that_cannot_be_written_is_one_line(module_vascodb: Vascodb, cut_out: Cutouts) -> None:
    with stsci(module_vascodb, cut_out):
        ask = ("fetch-tile", "--ra", 142.5, "--dec", 24, "--size", "1.7arcmin", "-o", "/proc/nowhere")
        assert_one_line(module_vascodb.run(*ask), "/proc/nowhere", "cannot be written")
