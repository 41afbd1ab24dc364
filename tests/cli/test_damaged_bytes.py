"""Images with bytes changed at random: either rows, whole, or one line and not one row more; never anything between."""

from pathlib import Path

import pytest
from commandline import Vascodb, assert_one_line
from fitsbytes import CARD, header_size, renamed
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

CONE = "132.850192,11.800202,0.138deg"
KEYS = [
    "SIMPLE", "BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "SURVEY", "REGION", "DATE-OBS", "EXPOSURE", "PLTSCALE", "CNPIX1",
    "XPIXELSZ", "PPO3", "PLTRAH", "PLTRAS", "PLTDECSN", "PLTDECD", "AMDX1", "AMDX2", "AMDX3", "AMDX13", "AMDY1",
    "PLTLABEL",
]  # fmt: skip
VALUES = [
    "", "T", "F", "0", "-1", "1", "2", "1E300", "-1E-300", "1E999", "NaN", "-Inf", "''", "'", "'x'", "'\\x00'",
    "(1.0, 2.0)",
    "99999999999999999999", "0x10", "1.5", "1D2", "'1954-13-01T00:00:00'", "'9999-12-31T99:99:99'", "'01/01/00'",
    "'XE999 XE998'", "'POSSI-E'", "'#%$'", "1 2", "nan'",
]  # fmt: skip


@pytest.fixture(scope="module")
def ready(module_vascodb: Vascodb, small_simulation, tmp_path_factory) -> tuple[Vascodb, bytes, Path, dict]:
    module_vascodb.ok("load-reference", "gaia_edr3", small_simulation.reference, "--cone", CONE)
    return (
        module_vascodb,
        small_simulation.image.read_bytes(),
        tmp_path_factory.mktemp("damaged") / "image.fits",
        module_vascodb.fingerprint(),
    )


def ingest_or_refuse(ready: tuple[Vascodb, bytes, Path, dict], content: bytes) -> None:
    vascodb, _, path, before = ready
    path.write_bytes(content)
    outcome = vascodb.run("ingest-tile", "--fits", path, "--format", "json")
    if outcome.status == 1:
        assert_one_line(outcome, str(path))
        if "recorded and refused" in outcome.err:
            vascodb.sql("DELETE FROM plate.image WHERE status = 'refused'")
        assert vascodb.fingerprint() == before
        return
    assert outcome.status in (0, 3), outcome
    assert outcome.err == ""
    report = outcome.value
    [[images, extractions, detections, matches]] = vascodb.sql("""
        SELECT (SELECT count(*) FROM plate.image WHERE status = 'ok'), (SELECT count(*) FROM vasco.extraction),
            (SELECT count(*) FROM vasco.detection), (SELECT count(*) FROM vasco.match)
    """)
    assert (images, extractions) == ("1", "1")
    assert int(detections) == report["detections"] > 0
    assert int(matches) == len(report["catalogs"]) * report["detections"]
    vascodb.sql("""
        TRUNCATE ref.moving_object, ref.moving_look, vasco.clip_window, vasco.run_ledger, vasco.verdict,
            vasco.run_stage, vasco.run_image, vasco.run, vasco.match, vasco.detection, vasco.extraction, plate.image,
            plate.exposure_time, plate.tile, plate.solution, plate.plate CASCADE
    """)


SLOW = settings(
    deadline=None, derandomize=True, database=None, max_examples=10,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.large_base_example],
)  # fmt: skip


@SLOW
@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 255)), min_size=1, max_size=4))
def test_bytes_of_the_header(ready, changes):
    content = bytearray(ready[1])
    size = header_size(ready[1])
    for place, value in changes:
        content[place % size] = value
    ingest_or_refuse(ready, bytes(content))


@SLOW
@given(st.lists(st.tuples(st.integers(0, 10**9), st.integers(32, 126)), min_size=1, max_size=3))
def test_printable_bytes_in_values_of_the_header(ready, changes):
    content = bytearray(ready[1])
    n_cards = header_size(ready[1]) // CARD
    for place, value in changes:
        content[(place // 20) % n_cards * CARD + 10 + place % 20] = value
    ingest_or_refuse(ready, bytes(content))


@SLOW
@given(st.sampled_from(KEYS), st.sampled_from(VALUES))
def test_values_of_the_header(ready, key, value):
    ingest_or_refuse(ready, renamed(ready[1], key, key, value))


@settings(SLOW, max_examples=4)
@given(st.lists(st.tuples(st.integers(0, 10**9), st.binary(min_size=1, max_size=3000)), min_size=1, max_size=3))
def test_bytes_of_the_pixels(ready, changes):
    content = bytearray(ready[1])
    size = header_size(ready[1])
    for place, data in changes:
        start = size + place % (len(content) - size)
        content[start : start + len(data)] = data[: len(content) - start]
    ingest_or_refuse(ready, bytes(content))


@settings(SLOW, max_examples=10)
@given(st.integers(0, 10**9), st.booleans())
@example(0, False)
def test_a_part_is_missing(ready, place, from_the_front):
    content = ready[1]
    cut = place % len(content)
    ingest_or_refuse(ready, content[cut + 1 :] if from_the_front else content[:cut])
