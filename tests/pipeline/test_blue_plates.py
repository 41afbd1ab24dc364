"""Blue plates are there to be compared with: what is on the red one only stays, in whichever order they come."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table
from commandline import Vascodb
from sqlalchemy import text

from vascodb.db import Database
from vascodb.errors import InputError, WrongSurveyError
from vascodb.pipeline.ingest import ingest_image
from vascodb.pipeline.running import Runner
from vascodb.pipeline.selection import Selected, Selection, select_images
from vascodb.profiles import Profile, load_profile
from vascodb.simulate.files import SimulatedFiles

REPLICATION = load_profile("replication")
# What comes before it leaves little on so small an image.
PROFILE: Profile = REPLICATION.model_copy(
    update={
        "name": "colours",
        "stages": tuple(
            s.model_copy(update={"step": 1}) for s in REPLICATION.stages if s.stage in ("flags", "red_blue")
        ),
    }
)
RED_ONLY = 4
HIDDEN_PX = 12


@pytest.fixture(scope="module")
def plates(small_simulation: SimulatedFiles, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, list]:
    """A red image, a blue one of the same field on which some bright stars are missing, and where those are, px."""
    with fits.open(small_simulation.image) as hdus:
        header, pixels = hdus[0].header.copy(), hdus[0].data.copy()
    stars = Table.read(small_simulation.truth)
    middle = np.array(pixels.shape[::-1]) / 2
    inside = stars[(stars["kind"] == "star") & (np.hypot(stars["x"] - middle[0], stars["y"] - middle[1]) < 60)]
    inside.sort("mag")
    # Not the brightest, whose wings reach farther than is hidden.
    missing = [(float(star["x"]), float(star["y"])) for star in inside[3 : 3 + RED_ONLY]]
    sky = np.random.default_rng(1).normal(
        np.median(pixels), 1.48 * np.median(np.abs(pixels - np.median(pixels))), pixels.shape
    )
    row, column = np.indices(pixels.shape)
    for x, y in missing:
        hidden = np.hypot(column + 1 - x, row + 1 - y) < HIDDEN_PX
        pixels[hidden] = np.rint(sky[hidden]).astype(pixels.dtype)
    header["SURVEY"], header["REGION"] = "POSSI-O", "XO" + header["REGION"][2:]
    blue = tmp_path_factory.mktemp("blue") / "blue.fits"
    fits.writeto(blue, pixels, header)
    return small_simulation.image, blue, missing


def verdicts(database: Database) -> dict[tuple[float, float], tuple[str, str | None]]:
    """Outcome and reason of the comparison, by pixel."""
    with database.connect() as connection:
        rows = connection.execute(
            text("""
                SELECT d.x_image, d.y_image, v.outcome, v.reason
                FROM vasco.verdict AS v
                JOIN vasco.detection AS d USING (extraction_id, number)
                WHERE v.stage = 'red_blue'
            """)
        ).all()
    return {(round(row.x_image, 3), round(row.y_image, 3)): (row.outcome, row.reason) for row in rows}


def blue_then_red(database: Database, red: Path, blue: Path) -> None:
    ingest_image(database, blue, PROFILE, band="blue")
    ingest_image(database, red, PROFILE)


def red_blue_and_red_again(database: Database, red: Path, blue: Path) -> None:
    ingest_image(database, red, PROFILE)
    assert {outcome for outcome, _ in verdicts(database).values()} == {"not_covered"}
    ingest_image(database, blue, PROFILE, band="blue")
    ingest_image(database, red, PROFILE)


def a_run_before_and_after(database: Database, red: Path, blue: Path) -> None:
    ingest_image(database, red, load_profile("replication"))
    with database.connect() as connection:
        connection.execute(text("DELETE FROM vasco.verdict"))
        images = select_images(connection, Selection(everything=True), "seed")
    Runner(database, PROFILE).run("before", images)
    assert {outcome for outcome, _ in verdicts(database).values()} == {"not_covered"}
    ingest_image(database, blue, PROFILE, band="blue")
    assert Runner(database, PROFILE).run("before", Selected(())).judged == 0


Order = Callable[[Database, Path, Path], None]


@pytest.mark.parametrize("order", [blue_then_red, red_blue_and_red_again, a_run_before_and_after])
def test_what_is_on_both_is_turned_away_and_what_is_red_only_stays(database: Database, plates, order: Order) -> None:
    red, blue, missing = plates
    order(database, red, blue)
    found = verdicts(database)
    for x, y in missing:
        place = min(found, key=lambda at: np.hypot(at[0] - x, at[1] - y))
        assert np.hypot(place[0] - x, place[1] - y) < 2
        assert found[place] == ("pass", None)
    outcomes = [outcome for outcome, _ in found.values()]
    assert outcomes.count("fail") > 20
    # Near the edges nothing can be said, elsewhere everything.
    assert outcomes.count("not_covered") > 0
    assert outcomes.count("unknown") == 0
    inner = [o for (x, y), (o, _) in found.items() if max(abs(x - 106), abs(y - 106)) < 65]
    assert set(inner) == {"pass", "fail"}


def test_only_what_decides_is_measured_on_the_blue_plate(database: Database, plates) -> None:
    red, blue, _ = plates
    blue_then_red(database, red, blue)
    with database.connect() as connection:
        rows = connection.execute(
            text("""
                SELECT d.spread_model IS NOT NULL AS is_measured, d.flags, d.snr_win, d.elongation
                FROM vasco.detection AS d
                JOIN vasco.extraction AS e USING (extraction_id)
                JOIN plate.image AS i USING (image_id)
                WHERE i.band = 'blue'
            """)
        ).all()
    measured = [row for row in rows if row.is_measured]
    assert 0 < len(measured) < len(rows)
    assert all(row.flags == 0 and row.snr_win >= 30 and row.elongation < 1.4 for row in measured)


def test_without_the_blue_file_what_it_would_decide_is_unknown(database: Database, plates, tmp_path: Path) -> None:
    red, blue, _ = plates
    copy = tmp_path / "blue.fits"
    copy.write_bytes(blue.read_bytes())
    ingest_image(database, copy, PROFILE, band="blue")
    copy.unlink()
    assert any("is not there any more" in warning for warning in ingest_image(database, red, PROFILE).warnings)
    found = verdicts(database)
    doubtful = [reason for outcome, reason in found.values() if outcome == "unknown"]
    assert doubtful and all("a measurement is missing" in str(reason) for reason in doubtful)
    with database.connect() as connection:
        images = select_images(connection, Selection(everything=True), "seed")
    report = Runner(database, PROFILE).run("later", images)
    assert [w for w in report.warnings if "is not there any more" in w]


def test_a_blue_plate_joins_no_run(database: Database, plates) -> None:
    _, blue, _ = plates
    report = ingest_image(database, blue, PROFILE, band="blue")
    assert (report.run, report.candidates, report.vetoes, report.gates) == (None, 0, {}, {})
    assert report.detections > 20
    with database.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM vasco.run_image")) == 0
        assert select_images(connection, Selection(everything=True), "seed").extraction_ids == ()
        with pytest.raises(InputError, match=f"plate {report.plate_id} is blue: it is there to be compared with"):
            select_images(connection, Selection(plates=[report.plate_id]), "seed")


def test_a_plate_of_the_other_band_is_refused_until_it_is_asked_for(database: Database, plates) -> None:
    red, blue, _ = plates
    with pytest.raises(WrongSurveyError, match="not a POSS-I blue plate"):
        ingest_image(database, red, PROFILE, band="blue")
    with pytest.raises(WrongSurveyError, match="not a POSS-I red plate"):
        ingest_image(database, blue, PROFILE)
    with database.connect() as connection:
        assert connection.scalars(text("SELECT DISTINCT status FROM plate.image")).all() == ["refused"]
    ingest_image(database, blue, PROFILE, band="blue")
    # Offered as red again, it stays what it is.
    with pytest.raises(WrongSurveyError, match="not a POSS-I red plate"):
        ingest_image(database, blue, PROFILE)
    with database.connect() as connection:
        rows = connection.execute(text("SELECT band, status FROM plate.image ORDER BY band")).all()
    assert [tuple(row) for row in rows] == [("blue", "ok"), ("red", "refused")]


def test_gaia_that_comes_later_ties_the_blue_plate_too(
    command_server, new_home, temporary_database, template_database: str, plates, small_simulation: SimulatedFiles
) -> None:
    red, blue, _ = plates
    gaia = ("load-reference", "gaia_edr3", small_simulation.reference, "--cone", "132.850192,11.800202,0.138deg")
    ingests = [("ingest-tile", "--profile", "replication", "--fits", red),
               ("ingest-tile", "--profile", "replication", "--fits", blue, "--band", "blue")]  # fmt: skip
    tied = """
        SELECT count(*) FILTER (WHERE d.ra <> d.ra_raw) > 20
        FROM vasco.detection AS d
        JOIN vasco.extraction AS e USING (extraction_id)
        JOIN plate.image AS i USING (image_id)
        WHERE i.band = 'blue'
    """
    fingerprints = []
    for order in ([gaia, *ingests], [*ingests, gaia]):
        with temporary_database(template_database) as database:
            vascodb = Vascodb(command_server, new_home(), database.libpq_url)
            for command in order:
                assert vascodb.run(*command).status in (0, 3)
            early = vascodb.sql(tied)
            assert vascodb.run("run", "colours", "--profile", "replication", "--all").status in (0, 3)
            # The standing run of the ingests has to see what came since, too.
            assert vascodb.run(*ingests[0]).status in (0, 3)
            assert (early, vascodb.sql(tied)) == ([["t" if order[0] == gaia else "f"]], [["t"]])
            fingerprints.append(vascodb.fingerprint())
    assert fingerprints[0] == fingerprints[1]
