"""Bad images: one line that names the file and the reason, exit status 1, and not one row more in any table."""

import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from commandline import Vascodb, assert_one_line
from fitsbytes import BLOCK, CARD, header_size, pixels_of, renamed, with_card, with_pixels, without_cards

SIDE = 212
PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 8


@pytest.fixture(scope="module")
def good(small_simulation) -> bytes:
    content = small_simulation.image.read_bytes()
    assert fits.getheader(small_simulation.image)["NAXIS1"] == SIDE
    return content


@pytest.fixture(scope="module")
def used(module_vascodb: Vascodb, small_simulation) -> tuple[Vascodb, dict]:
    """A database with an image in it, and its fingerprint."""
    assert module_vascodb.run("ingest-tile", "--fits", small_simulation.image).status == 0
    return module_vascodb, module_vascodb.fingerprint()


def grey(value: int) -> np.ndarray:
    return np.full((SIDE, SIDE), value, dtype="i2")


def noise() -> np.ndarray:
    return np.random.default_rng(5).normal(5000, 30, (SIDE, SIDE)).astype("i2")


def with_nan(content: bytes) -> bytes:
    pixels = pixels_of(content, (SIDE, SIDE)).astype("f4")
    pixels[100, 100] = np.nan
    return with_pixels(content, pixels)


def only_a_table(_: bytes) -> bytes:
    stream = io.BytesIO()
    Table({"x": [1, 2]}).write(stream, format="fits")
    return stream.getvalue()


def image_in_extension(content: bytes) -> bytes:
    stream = io.BytesIO()
    with fits.open(io.BytesIO(content)) as hdus:
        fits.HDUList([fits.PrimaryHDU(), fits.ImageHDU(hdus[0].data, hdus[0].header)]).writeto(stream)
    return stream.getvalue()


def cube(content: bytes) -> bytes:
    stream = io.BytesIO()
    with fits.open(io.BytesIO(content)) as hdus:
        fits.PrimaryHDU(hdus[0].data[None], hdus[0].header).writeto(stream)
    return stream.getvalue()


TAN = {
    "CTYPE1": "'RA---TAN'", "CRPIX1": "106.5", "CRPIX2": "106.5", "CRVAL1": "132.85", "CRVAL2": "11.8",
    "CD1_1": "-4.7198E-04", "CD2_2": "4.7198E-04",
}  # fmt: skip


def with_tan(content: bytes, **changes: str) -> bytes:
    """Write a TAN solution over keys that nobody reads."""
    unread = ["PPO1", "PPO2", "PPO4", "PPO5", "SITELAT", "SITELONG", "AIRMASS"]
    for old, (key, value) in zip(unread, (TAN | changes).items(), strict=True):
        content = renamed(content, old, key, value)
    return content


DAMAGES: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "no byte": (lambda _: b"", "not a FITS file"),
    "text": (lambda _: b"RA,DEC\n1,2\n", "not a FITS file"),
    "a picture": (lambda _: PNG, "not a FITS file"),
    "a gzip file of text": (lambda _: gzip.compress(b"hello"), "not a FITS file"),
    "a damaged gzip file": (lambda _: b"\x1f\x8b" + b"garbage" * 99, "gzip"),
    "a gzip file cut short": (lambda c: gzip.compress(c)[:20000], "cut short|damaged or truncated|gzip"),
    "a gzip file with a flipped byte": (lambda c: flip(gzip.compress(c), 20000), "damaged"),
    "cut within the first card": (lambda c: c[:50], "damaged or truncated|not a FITS"),
    "cut within the header": (lambda c: c[: 20 * CARD], "damaged or truncated"),
    "cut after a header block": (lambda c: c[:BLOCK], "damaged or truncated"),
    "cut after the header": (lambda c: c[: header_size(c)], "damaged or truncated"),
    "cut within the pixels": (lambda c: c[: header_size(c) + 40001], "damaged or truncated"),
    "cut by one block": (lambda c: c[:-BLOCK], "damaged or truncated"),
    "cut by one byte": (lambda c: c[:-1], "damaged or truncated"),
    "no standard FITS by its own word": (lambda c: with_card(c, "SIMPLE", "F"), "no standard FITS"),
    "NAXIS1 too big": (lambda c: with_card(c, "NAXIS1", "100000"), "damaged or truncated"),
    "NAXIS2 too big by one block": (lambda c: with_card(c, "NAXIS2", "220"), "damaged or truncated"),
    "NAXIS2 too small by one row": (lambda c: with_card(c, "NAXIS2", str(SIDE - 1)), "more data than its header"),
    "NAXIS1 too small by one column": (lambda c: with_card(c, "NAXIS1", str(SIDE - 1)), "more data than its header"),
    "NAXIS2 far too small": (lambda c: with_card(c, "NAXIS2", "20"), "more data than its header|damaged"),
    "BITPIX of bytes": (lambda c: with_card(c, "BITPIX", "8"), "more data than its header|damaged"),
    "BITPIX unknown": (lambda c: with_card(c, "BITPIX", "17"), ""),
    "NAXIS1 zero": (lambda c: with_card(c, "NAXIS1", "0"), "no image|damaged"),
    "NAXIS zero": (lambda c: with_card(c, "NAXIS", "0"), "no image|damaged"),
    "NAXIS three without a third": (lambda c: with_card(c, "NAXIS", "3"), ""),
    "NAXIS1 negative": (lambda c: with_card(c, "NAXIS1", "-212"), ""),
    "NAXIS1 text": (lambda c: with_card(c, "NAXIS1", "'wide'"), ""),
    "NAXIS1 fractional": (lambda c: with_card(c, "NAXIS1", "211.5"), ""),
    "only a table": (only_a_table, "no image in its primary HDU"),
    "the image in an extension": (image_in_extension, "no image in its primary HDU"),
    "a cube": (cube, "no image in its primary HDU"),
    "NaN in the polynomial": (lambda c: with_card(c, "AMDX1", "NAN"), "AMDX1"),
    "infinity in the pixel size": (lambda c: with_card(c, "XPIXELSZ", "-inf"), "XPIXELSZ"),
    "a number too large": (lambda c: with_card(c, "AMDY3", "1E999"), "AMDY3"),
    "text instead of a number": (lambda c: with_card(c, "PPO3", "'left'"), "PPO3"),
    "no value": (lambda c: with_card(c, "CNPIX1", ""), "CNPIX1"),
    "two values": (lambda c: with_card(c, "CNPIX1", "1.0, 2.0"), "CNPIX1"),
    "a polynomial of zeros": (lambda c: with_card(with_card(c, "AMDX1", "0.0"), "AMDX2", "0.0"), "singular"),
    "a polynomial of another scale": (lambda c: with_card(c, "AMDX1", "97.2433"), "contradicts itself"),
    "a plate beyond the pole": (lambda c: with_card(c, "PLTDECD", "91"), "off the sky"),
    "a pixel size of zero": (lambda c: with_card(c, "XPIXELSZ", "0.0"), "pixel size"),
    "NaN in the TAN solution": (lambda c: with_tan(c, CRVAL1="NaN"), "CRVAL1"),
    "a TAN solution beyond the pole": (lambda c: with_tan(c, CRVAL2="97.0"), "off the sky"),
    "a TAN solution of another scale": (lambda c: with_tan(c, CD1_1="-4.7E-03"), "contradicts itself"),
    "a TAN solution of zeros": (lambda c: with_tan(c, CD1_1="0.0"), "singular CD matrix"),
    "a TAN solution without its middle": (lambda c: without_cards(with_tan(c), "CRPIX1"), "CRPIX1"),
    "no astrometry at all": (lambda c: without_cards(c, "AMD"), "no astrometric solution"),
    "a polynomial without a term": (lambda c: without_cards(c, "AMDX7"), "AMDX7"),
    "no date": (lambda c: without_cards(c, "DATE-OBS"), "no DATE-OBS"),
    "no day of the calendar": (lambda c: with_card(c, "DATE-OBS", "'1954-02-30T07:81:00'"), "DATE-OBS"),
    "a date in words": (lambda c: with_card(c, "DATE-OBS", "'28 Jan 1954'"), "DATE-OBS"),
    "a date of another century": (lambda c: with_card(c, "DATE-OBS", "'2054-01-28T07:81:00'"), "1949 to 1958"),
    "a date that cannot be added to": (lambda c: with_card(c, "DATE-OBS", "'9999-12-31T99:99:99'"), "DATE-OBS"),
    "a zero byte in a key": (lambda c: c.replace(b"PLTGRADE=", b"PLT\0RADE="), "zero byte"),
    "a zero byte in a value": (lambda c: c.replace(b"'103aE", b"'103\0E"), "damaged"),
    "a red plate without name": (lambda c: without_cards(c, "REGION"), "REGION"),
    "neither survey nor region": (lambda c: without_cards(c, "REGION", "SURVEY"), "neither SURVEY nor REGION"),
    "all pixels equal": (lambda c: with_pixels(c, grey(4000)), "every pixel is 4000"),
    "all pixels zero": (lambda c: with_pixels(c, grey(0)), "every pixel is 0"),
    "one pixel": (lambda c: with_pixels(c, np.array([[7]], dtype="i2")), "every pixel is 7"),
    "a pixel without value": (with_nan, "1 of its 44944 pixels have no value"),
    "noise without a star": (lambda c: with_pixels(c, noise()), "no usable stars"),
}


def flip(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :]


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_image_leaves_no_row(name, used, good, tmp_path):
    vascodb, fingerprint = used
    damage, reason = DAMAGES[name]
    path = tmp_path / ("bad.fits.gz" if "gzip" in name else "bad.fits")
    path.write_bytes(damage(good))
    outcome = vascodb.run("ingest-tile", "--fits", path)
    assert_one_line(outcome, str(path))
    assert any(part in outcome.err for part in reason.split("|")), outcome.err
    assert vascodb.fingerprint() == fingerprint
    assert list((vascodb.home / "work").iterdir()) == []


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda p: None, "No such file"),
        (lambda p: p.mkdir(), "a folder"),
        (lambda p: p.symlink_to(p.with_name("nowhere")), "No such file"),
        (lambda p: p.symlink_to(p), "Too many levels of symbolic links"),
        (os.mkfifo, "not a file"),
        (lambda p: p.symlink_to("/dev/zero"), "not a file"),
    ],
    ids=["nothing", "folder", "dangling link", "circular link", "pipe", "device"],
)
def test_what_is_no_file_cannot_be_read(make, reason, used, tmp_path):
    vascodb, fingerprint = used
    path = tmp_path / "image.fits"
    make(path)
    assert_one_line(vascodb.run("ingest-tile", "--fits", path), str(path), reason)
    assert vascodb.fingerprint() == fingerprint


def test_a_file_without_permission_cannot_be_read(used, good, tmp_path):
    vascodb, _ = used
    path = tmp_path / "image.fits"
    path.write_bytes(good)
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("this user may read every file")
    assert_one_line(vascodb.run("ingest-tile", "--fits", path), str(path), "Permission denied")


def test_pixels_may_be_floating_point_numbers(vascodb, good, tmp_path):
    """The same sky in another type of number gives the same detections."""
    integers, floats = tmp_path / "i2.fits", tmp_path / "f4.fits"
    integers.write_bytes(good)
    floats.write_bytes(with_pixels(good, pixels_of(good, (SIDE, SIDE)).astype("f4")))
    reports = [vascodb.ok("ingest-tile", "--fits", p, "--format", "json").value for p in (integers, floats)]
    assert reports[0]["detections"] == reports[1]["detections"] > 20
    different = (
        "SELECT count(*) FROM (SELECT number, ra, dec FROM vasco.detection GROUP BY 1, 2, 3 HAVING count(*) <> 2) AS d"
    )
    assert vascodb.sql(different) == [["0"]]


def test_a_gzipped_image_and_one_with_an_extension_are_good(vascodb, good, tmp_path):
    compressed, extended = tmp_path / "a.fits.gz", tmp_path / "b.fits"
    compressed.write_bytes(gzip.compress(good))
    extended.write_bytes(good + only_a_table(b"")[BLOCK:])
    for path in (compressed, extended):
        assert vascodb.ok("ingest-tile", "--fits", path, "--format", "json").value["detections"] > 20


@pytest.mark.parametrize("name", ["a b.fits", "[bold].fits", "ünï.fits", "-x.fits", "q'\"$;.fits", "a\nb.fits"])
def test_a_file_may_be_called_anything(name, vascodb, good, tmp_path):
    path = tmp_path / name
    path.write_bytes(good)
    report = vascodb.ok("ingest-tile", "--fits", path, "--progress", "--format", "json").value
    assert Path(report["image"]) == path
    assert report["detections"] > 20


def test_a_file_name_that_is_no_text_is_refused_clearly(used, tmp_path):
    vascodb, fingerprint = used
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.fits")
    Path(path).write_bytes(b"SIMPLE")
    outcome = vascodb.run("ingest-tile", "--fits", path)
    assert_one_line(outcome, "UTF-8", "rename")
    assert vascodb.fingerprint() == fingerprint


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["tile_RA1.000_DECp2.000"], "not on this image"),
        (["tile_RA312.850_DECm11.800"], "not on this image"),
        (["tile_RA132.85_DECp11.80"], "not the name of a tile"),
        (["tile_RA400.000_DECp11.800"], "not the name of a tile"),
        (["tile_RA132.850_DECp91.000"], "not the name of a tile"),
        (["M67"], "not the name of a tile"),
        (["--profile", "vasco61"], "unknown profile 'vasco61'; there are: default, default_release, mnras2022"),
        (["--profile", "../default"], "unknown profile"),
        (["--ra", "132.85", "--dec", "11.8"], "leave out --ra and --dec"),
    ],
)
def test_wrong_options_leave_no_row(options, reason, used, small_simulation):
    vascodb, fingerprint = used
    outcome = vascodb.run("ingest-tile", "--fits", small_simulation.image, *options)
    assert_one_line(outcome, reason)
    assert vascodb.fingerprint() == fingerprint


@pytest.mark.parametrize(
    "options", [[], ["--ra", "1"], ["--dec", "1"], ["tile_RA1.000_DECp2.000", "--ra", "1", "--dec", "2"]]
)
def test_without_a_file_it_needs_one_tile_or_one_position(options, used):
    vascodb, fingerprint = used
    assert_one_line(vascodb.run("ingest-tile", *options), "--fits FILE")
    assert vascodb.fingerprint() == fingerprint


@pytest.mark.parametrize("size", ["60", "5 parsec", "arcmin", "", "nan arcmin"])
def test_an_angle_needs_its_unit(size, used):
    vascodb, fingerprint = used
    outcome = vascodb.run("ingest-tile", "--ra", "1", "--dec", "2", "--size", size)
    assert outcome.status == 2
    assert "such as 5arcsec" in outcome.err
    assert vascodb.fingerprint() == fingerprint


class TestWrongSurvey:
    @pytest.mark.parametrize(
        ("file", "what"),
        [
            ("DSS2_SERC-ER_ER768_HorseHead_15arcmin.fits", "SERC-ER, region ER768"),
            ("SERC-J_S134_ProximaCen_astropy.fits.gz", "region S134"),
        ],
    )
    def test_is_recorded_once_and_refused(self, file, what, vascodb, shared_data):
        before = vascodb.fingerprint()
        outcome = vascodb.run("ingest-tile", "--fits", shared_data / "tiles" / file)
        assert_one_line(outcome, file, "not a POSS-I red plate", what, "recorded and refused")
        after = vascodb.fingerprint()
        assert {name for name in after if after[name] != before[name]} == {"plate.image", "all"}
        [[status, reason]] = vascodb.sql("SELECT status, status_reason FROM plate.image")
        assert status == "refused"
        assert what in reason
        assert_one_line(vascodb.run("ingest-tile", "--fits", shared_data / "tiles" / file), "refused")
        assert vascodb.fingerprint() == after

    def test_of_a_blue_plate_is_told_by_its_region_where_an_old_header_has_no_survey(self, vascodb, good, tmp_path):
        path = tmp_path / "blue.fits"
        path.write_bytes(with_card(without_cards(good, "SURVEY"), "REGION", "'XO486   '"))
        assert_one_line(vascodb.run("ingest-tile", "--fits", path), "POSSI-O, region XO486")
        assert vascodb.sql("SELECT survey, band, plate_id FROM plate.image") == [["POSSI-O", "blue", "XO486"]]

    def test_cut_short_is_not_even_recorded(self, used, good, tmp_path):
        vascodb, fingerprint = used
        path = tmp_path / "cut.fits"
        path.write_bytes(with_card(good, "SURVEY", "'SERC-J  '")[:-BLOCK])
        assert_one_line(vascodb.run("ingest-tile", "--fits", path), "cut.fits", "truncated")
        assert vascodb.fingerprint() == fingerprint
