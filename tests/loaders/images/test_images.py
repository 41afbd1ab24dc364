"""Archives of images: what they are asked, and that only whole images of the right sky and survey are taken."""

import gzip
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from fitsbytes import header_size, with_card
from plateimages import cutout_header, image_file, plate_header, tan_keys
from servers.faults import Kind, dead_endpoint, faults_of
from servers.files import FileServer
from servers.stsci import StsciServer
from servers.transport import Answer

from vascodb.errors import InputError
from vascodb.loaders.client.ask import Reply, ServiceClient
from vascodb.loaders.client.download import put_in_place
from vascodb.loaders.client.failure import Cause
from vascodb.loaders.client.services import ServiceSettings
from vascodb.loaders.images.irsa import IrsaPlates, wanted_plate
from vascodb.loaders.images.stsci import StsciCutouts, wanted_tile
from vascodb.loaders.images.wanted import Absent, Delivered, ImageSource, WantedImage
from vascodb.plates.images import read_image

RA, DEC = 142.5, 24.0


def cutout(folder: Path, survey: str = "POSSI-E", region: str = "XE901", **changes: object) -> bytes:
    """A cutout of 60 x 60 pixels about RA, DEC."""
    header = cutout_header(SURVEY=survey, REGION=region, **tan_keys(30.5, RA, DEC), **changes)
    return image_file(folder / "made.fits", header).read_bytes()


def whole_plate(folder: Path, survey: str = "POSSI-E", region: str = "XE901", **changes: object) -> bytes:
    """A whole plate of few, big pixels."""
    big = {"NAXIS1": 300, "NAXIS2": 300, "XPIXELSZ": 1180.0, "YPIXELSZ": 1180.0}
    return image_file(folder / "made.fits", plate_header(SURVEY=survey, REGION=region, **big | changes)).read_bytes()


def ask(source: ImageSource, url: str, wanted: WantedImage, path: Path, **changes: object) -> Reply[Delivered | Absent]:
    settings = ServiceSettings(
        title="images", protocol="dss", endpoints=(url,), attempts=1, connect_timeout_s=0.4,
        first_byte_timeout_s=0.4, total_timeout_s=1.0, per_second=1000, backoff_s=0,
    ).model_copy(update=changes)  # fmt: skip
    client = ServiceClient(source.service, settings)
    return client.ask(lambda session, endpoint: source.fetch(session, endpoint, wanted, path, lambda n, total: None))


def tile(size_arcmin: float = 1.7, **changes: object) -> WantedImage:
    return wanted_tile(RA, DEC, size_arcmin, **changes)  # type: ignore[arg-type]


def left_in(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "images"
    place.mkdir()
    yield place


def test_stsci_is_asked_in_its_own_terms(tmp_path: Path, folder: Path) -> None:
    image = cutout(tmp_path)
    with StsciServer(lambda *asked: image) as server:
        reply = ask(StsciCutouts(), server.url, wanted_tile(RA, DEC, 2.0), folder / "x.fits")
        assert isinstance(reply.answer, Delivered)
        assert dict(server.requests[0].parameters) == {
            "v": "poss1_red", "r": "142.500000", "d": "24.000000", "e": "J2000", "h": "2.00", "w": "2.00",
            "f": "fits", "c": "none", "fov": "NONE", "v3": "",
        }  # fmt: skip
        put_in_place(reply.answer.part, folder / "x.fits")
    assert (folder / "x.fits").read_bytes() == image
    assert left_in(folder) == ["x.fits"]


def test_irsa_is_asked_for_the_plate_of_either_colour(tmp_path: Path, folder: Path) -> None:
    files = {
        "/images/dss1red/dss1red_XE901.fits": whole_plate(tmp_path),
        "/images/dss1blue/dss1blue_XO901.fits": whole_plate(tmp_path, "POSSI-O", "XO901"),
    }
    with FileServer(files) as server:
        for name in ("XE901", "XO901"):
            reply = ask(IrsaPlates(), server.root + "/images", wanted_plate(name), folder / f"{name}.fits")
            assert isinstance(reply.answer, Delivered)
            assert reply.answer.image.plate_id == name


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        (wanted_tile(132.824, 11.801), "dss1-red_132.824_11.801_60arcmin.fits"),
        (wanted_tile(0.0, -29.3514, 30.0, "poss1_blue"), "dss1-blue_0.000_-29.351_30arcmin.fits"),
        (wanted_tile(2.001, 82.807, 7.5), "dss1-red_2.001_82.807_7.5arcmin.fits"),
        (wanted_plate("XE486"), "dss1red_XE486.fits"), (wanted_plate("XO001"), "dss1blue_XO001.fits"),
    ],
)  # fmt: skip
def test_files_are_called_as_they_always_were(wanted: WantedImage, name: str) -> None:
    assert wanted.file_name == name


def test_the_same_request_is_the_same_image_and_another_is_another() -> None:
    different = [wanted_tile(10, 10), wanted_tile(10, 10.001), wanted_tile(10.001, 10), wanted_tile(10, 10, 30),
                 wanted_tile(10, 10, survey="poss1_blue"), wanted_plate("XE486"), wanted_plate("XO486")]  # fmt: skip
    assert len({image.fetch_id for image in different}) == len(different)
    assert wanted_tile(10, 10).fetch_id == wanted_tile(10.0000000001, 10, 60.0, tile_id="any").fetch_id


@pytest.mark.parametrize("position", [(360.0, 0.0), (-1.0, 0.0), (0.0, 90.1), (float("nan"), 0.0), (0.0, float("nan"))])
def test_positions_off_the_sky_are_refused(position: tuple[float, float]) -> None:
    with pytest.raises(InputError, match="position"):
        wanted_tile(*position)


@pytest.mark.parametrize("size", [0.0, -1.0, 60.1, float("nan"), float("inf")])
def test_sizes_that_are_not_cut_out_are_refused(size: float) -> None:
    with pytest.raises(InputError, match="size"):
        wanted_tile(10, 10, size)


@pytest.mark.parametrize("name", ["", "XE48", "XE4866", "xe486", "XF486", "XE486.fits", "../XE486", "XE４８６"])
def test_what_is_no_plate_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="is no POSS-I plate"):
        wanted_plate(name)


def test_a_packed_image_is_unpacked(tmp_path: Path, folder: Path) -> None:
    image = cutout(tmp_path)
    with StsciServer(lambda *asked: image, packed=True) as server:
        reply = ask(StsciCutouts(), server.url, tile(), folder / "x.fits")
    assert isinstance(reply.answer, Delivered)
    assert reply.answer.part.read_bytes() == image


@pytest.mark.parametrize("keep", [0.3, 0.9, 0.999])
def test_a_packed_image_that_is_cut_is_not_taken(tmp_path: Path, folder: Path, keep: float) -> None:
    packed = gzip.compress(cutout(tmp_path))
    answer = Answer(packed[: int(len(packed) * keep)], content_type="application/x-gzip")
    with StsciServer(lambda *asked: None) as server:
        server.answer = lambda request, fault: answer  # type: ignore[method-assign]
        reply = ask(StsciCutouts(), server.url, tile(), folder / "x.fits")
    assert reply.failure is not None
    assert reply.failure.cause is Cause.TRUNCATED
    assert left_in(folder) == []


@pytest.mark.parametrize(
    ("survey", "region", "state"),
    [
        ("poss1_red", ("POSSI-E", "XE901"), "ok"), ("poss1_red", ("POSSI-O", "XO901"), "non_poss"),
        ("poss1_red", ("POSSII-F", "XP901"), "non_poss"), ("poss1_red", ("SERC-ER", "ER768"), "non_poss"),
        ("poss1_red", ("", "ER768"), "non_poss"), ("poss1_blue", ("POSSI-O", "XO901"), "ok"),
        ("poss1_blue", ("POSSI-E", "XE901"), "non_poss"), ("poss1_blue", ("SERC-J", "S134"), "non_poss"),
    ],
)  # fmt: skip
def test_only_plates_of_the_survey_are_taken(
    tmp_path: Path, folder: Path, survey: str, region: tuple[str, str], state: str
) -> None:
    image = cutout(tmp_path, *region)
    with StsciServer(lambda *asked: image) as server:
        reply = ask(StsciCutouts(), server.url, tile(survey=survey), folder / "x.fits")
    if state == "ok":
        assert isinstance(reply.answer, Delivered)
    else:
        assert isinstance(reply.answer, Absent)
        assert (reply.answer.state, left_in(folder)) == (state, [])
        assert region[1] in reply.answer.detail


def test_a_real_plate_of_another_survey_is_not_taken(shared_data: Path, folder: Path) -> None:
    image = (shared_data / "tiles" / "DSS2_SERC-ER_ER768_HorseHead_15arcmin.fits").read_bytes()
    with StsciServer(lambda *asked: image) as server:
        reply = ask(StsciCutouts(), server.url, wanted_tile(85.25, -2.46, 15.0), folder / "x.fits")
    assert isinstance(reply.answer, Absent)
    assert reply.answer.state == "non_poss"


@pytest.mark.parametrize("n_missing", [1, 2880, 5000])
def test_an_image_cut_anywhere_is_not_taken(tmp_path: Path, folder: Path, n_missing: int) -> None:
    image = cutout(tmp_path)[:-n_missing]
    with StsciServer(lambda *asked: image) as server:
        reply = ask(StsciCutouts(), server.url, tile(), folder / "x.fits")
    assert reply.failure is not None
    assert reply.failure.cause is Cause.TRUNCATED
    assert left_in(folder) == []


def test_a_real_image_cut_at_any_of_many_lengths_is_not_taken(shared_data: Path, folder: Path) -> None:
    path = shared_data / "tiles" / "POSS1-E_XE410_midas_wcstest_10arcmin.fits"
    whole = path.read_bytes()
    ra, dec = read_image(path).centre
    answers = iter([*(whole[:n] for n in range(1, len(whole), len(whole) // 40)), whole])
    wanted = wanted_tile(ra % 360, dec, 10.0)
    with StsciServer(lambda *asked: next(answers)) as server, warnings.catch_warnings():
        while True:
            reply = ask(StsciCutouts(), server.url, wanted, folder / "x.fits")
            if reply.answer is not None:
                break
            assert left_in(folder) == []
    assert isinstance(reply.answer, Delivered)
    assert reply.answer.part.read_bytes() == whole
    assert len(server.requests) > 40


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        ({"CRVAL1": "201.0"}, Cause.WRONG_SKY), ({"CRVAL2": "-24.0"}, Cause.WRONG_SKY),
        ({"CRVAL2": "24.5"}, Cause.WRONG_SKY), ({"NAXIS1": "80"}, Cause.TRUNCATED), ({"NAXIS1": "30"}, None),
        ({"BITPIX": "8"}, None), ({"CD1_1": "0.0", "CD1_2": "0.0"}, None), ({"SIMPLE": "F"}, None),
        ({"CRVAL1": "NaN"}, None),
    ],
    ids=str,
)  # fmt: skip
def test_an_image_of_another_sky_or_with_a_damaged_header_is_not_taken(
    tmp_path: Path, folder: Path, damage: dict[str, str], cause: Cause | None
) -> None:
    image = cutout(tmp_path)
    for key, value in damage.items():
        image = with_card(image, key, value)
    with StsciServer(lambda *asked: image) as server:
        reply = ask(StsciCutouts(), server.url, tile(), folder / "x.fits")
    assert reply.failure is not None
    assert cause is None or reply.failure.cause is cause
    assert left_in(folder) == []


def test_an_image_much_smaller_than_asked_for_is_not_taken(tmp_path: Path, folder: Path) -> None:
    image = cutout(tmp_path)
    with StsciServer(lambda *asked: image) as server:
        reply = ask(StsciCutouts(), server.url, tile(60.0), folder / "x.fits")
    assert reply.failure is not None
    assert reply.failure.cause is Cause.WRONG_SKY


def test_a_header_without_pixels_is_not_taken(tmp_path: Path, folder: Path) -> None:
    image = cutout(tmp_path)
    with StsciServer(lambda *asked: image[: header_size(image)]) as server:
        reply = ask(StsciCutouts(), server.url, tile(), folder / "x.fits")
    assert reply.failure is not None
    assert reply.failure.cause is Cause.TRUNCATED


@pytest.mark.parametrize(
    "wrong", [{"REGION": "XE902"}, {"XPIXELSZ": 25.0, "YPIXELSZ": 25.0}], ids=["another plate", "a part of it"]
)
def test_a_plate_that_is_another_or_not_whole_is_not_taken(
    tmp_path: Path, folder: Path, wrong: dict[str, object]
) -> None:
    region = str(wrong.pop("REGION", "XE901"))
    with FileServer({"/dss1red/dss1red_XE901.fits": whole_plate(tmp_path, region=region, **wrong)}) as server:
        reply = ask(IrsaPlates(), server.root, wanted_plate("XE901"), folder / "x.fits")
    assert reply.failure is not None
    assert reply.failure.cause is Cause.WRONG_SKY
    assert left_in(folder) == []


@pytest.mark.parametrize(
    "page",
    [
        "The field is not covered by the survey that was asked for.", "No image could be found at this position.",
        "Sorry, there is no plate for this region", "The requested image is not available.",
        "Error: file xe884.jx does not exist", "The position lies outside the survey",
    ],
)  # fmt: skip
def test_a_page_that_says_there_is_no_image_is_an_answer(folder: Path, page: str) -> None:
    with StsciServer(lambda *asked: None) as server:
        body = f"<html><head><title>DSS</title></head><body><h1>Error</h1><p>{page}</p></body></html>".encode()
        server.answer = lambda request, fault: Answer(body, 200, "text/html")  # type: ignore[method-assign]
        reply = ask(StsciCutouts(), server.url, tile(), folder / "x.fits")
    assert isinstance(reply.answer, Absent)
    assert reply.answer.state == "unavailable"
    assert page[:30] in reply.answer.detail


@pytest.mark.parametrize(
    "page",
    [
        "The archive is down for scheduled maintenance.", "Internal error", "",
        "Could not extract the image: the plate server does not respond.",
        "The image is temporarily not available", "No image: the server is busy",
        "The service is not available", "No data now, please try again later",
    ],
)  # fmt: skip
def test_a_page_that_says_anything_else_is_none(folder: Path, page: str) -> None:
    with StsciServer(lambda *asked: None) as server:
        server.answer = lambda request, fault: Answer(f"<p>{page}</p>".encode(), 200, "text/html")  # type: ignore[method-assign]
        reply = ask(StsciCutouts(), server.url, tile(), folder / "x.fits")
    assert reply.failure is not None
    assert reply.failure.cause is Cause.NOT_THE_FORMAT


def test_a_cutout_service_that_has_moved_is_no_archive_without_images(folder: Path) -> None:
    with StsciServer(lambda *asked: None) as server:
        reply = ask(StsciCutouts(), server.root + "/elsewhere", tile(), folder / "x.fits")
    assert reply.failure is not None
    assert reply.failure.cause is Cause.HTTP_ERROR
    assert reply.failure.http_status not in StsciCutouts.gone


ENDPOINT_FAULTS = faults_of("stsci", Kind.ENDPOINT)
STSCI_FAULTS = faults_of("stsci", Kind.TRANSPORT, Kind.CONTENT)
FILE_FAULTS = faults_of("files", Kind.TRANSPORT, Kind.CONTENT)


@pytest.mark.parametrize("fault", STSCI_FAULTS)
def test_no_fault_of_the_cutout_service_leaves_an_image(tmp_path: Path, folder: Path, fault: str) -> None:
    image = cutout(tmp_path)
    with StsciServer(lambda *asked: image) as server:
        server.fail(fault)
        failed = ask(StsciCutouts(), server.url, tile(), folder / "x.fits")
        assert failed.failure is not None
        assert left_in(folder) == []
        again = ask(StsciCutouts(), server.url, tile(), folder / "x.fits")
        assert isinstance(again.answer, Delivered)
        assert again.answer.part.read_bytes() == image


@pytest.mark.parametrize("fault", FILE_FAULTS)
def test_no_fault_of_the_file_server_leaves_a_plate(tmp_path: Path, folder: Path, fault: str) -> None:
    plate = whole_plate(tmp_path)
    with FileServer({"/dss1red/dss1red_XE901.fits": plate}) as server:
        server.fail(fault)
        failed = ask(IrsaPlates(), server.root, wanted_plate("XE901"), folder / "x.fits")
        assert failed.failure is not None
        assert all(name.endswith(".part") for name in left_in(folder))
        again = ask(IrsaPlates(), server.root, wanted_plate("XE901"), folder / "x.fits")
        assert isinstance(again.answer, Delivered)
        assert again.answer.part.read_bytes() == plate


@pytest.mark.parametrize("fault", ENDPOINT_FAULTS)
def test_a_dead_archive_leaves_nothing(folder: Path, fault: str) -> None:
    with dead_endpoint(fault) as url:
        for source, wanted in ((StsciCutouts(), tile()), (IrsaPlates(), wanted_plate("XE901"))):
            assert ask(source, url, wanted, folder / "x.fits").failure is not None
    assert left_in(folder) == []


def test_a_plate_that_was_cut_at_its_source_is_begun_anew(tmp_path: Path, folder: Path) -> None:
    plate = whole_plate(tmp_path)
    with FileServer({"/dss1red/dss1red_XE901.fits": plate[:100_000]}) as server:
        reply = ask(IrsaPlates(), server.root, wanted_plate("XE901"), folder / "x.fits")
        assert reply.failure is not None
        assert reply.failure.cause is Cause.TRUNCATED
        assert left_in(folder) == []
        server.put("/dss1red/dss1red_XE901.fits", plate)
        again = ask(IrsaPlates(), server.root, wanted_plate("XE901"), folder / "x.fits")
        assert isinstance(again.answer, Delivered)
