"""Reading the Minor Planet Center's orbit file: real lines, and the same predictions as from JPL."""

import gzip
from collections.abc import Sequence
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from vascodb.asteroids import mpc
from vascodb.asteroids.elements import Elements
from vascodb.asteroids.reading import read_elements
from vascodb.errors import InputError

# A line of the real file; the others are made from it by changing columns.
CERES = (
    "00001    3.34  0.15 K2555 188.70269   73.27343   80.25221   10.58780  0.0794013  0.21424651   2.7660512  "
    "0 E2024-V47  7330 125 1801-2024 0.80 M-v 30k MPCLINUX   4000      (1) Ceres              20241101"
)
HEADER = "MINOR PLANET CENTER ORBIT DATABASE (MPCORB)\n\nDes'n     H     G   Epoch     M\n" + "-" * 160 + "\n"
EPOCH = 2460800.5
"""2025 May 5."""


def changed(**columns: str) -> str:
    """The line of Ceres with other texts in columns named by their first one, counted from 1: c9=' 3.40'."""
    line = CERES
    for name, content in columns.items():
        first = int(name[1:]) - 1
        line = line[:first] + content + line[first + len(content) :]
    return line


def unnumbered(packed: str, readable: str, **columns: str) -> str:
    return changed(c1=packed, c167=readable.ljust(28), **columns)


def write(path: Path, *lines: str, header: str = HEADER) -> Path:
    content = (header + "".join(f"{line}\n" for line in lines)).encode()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return path


@pytest.mark.parametrize("name", ["MPCORB.DAT", "MPCORB.DAT.gz", "elements.json"])
@pytest.mark.parametrize("header", [HEADER, ""])
def test_a_real_line_is_read_whatever_the_files_name(tmp_path: Path, name: str, header: str) -> None:
    found = read_elements(write(tmp_path / name, CERES, header=header))
    assert (found.names, found.numbers.tolist(), found.epoch_jd.tolist()) == (["Ceres"], [1], [EPOCH])
    assert (found.absolute_mag[0], found.slope[0]) == (3.34, 0.15)
    assert (found.semimajor_au[0], found.eccentricity[0]) == (2.7660512, 0.0794013)
    degrees = np.degrees([*found.anomaly_rad, *found.perihelion_rad, *found.node_rad, *found.inclination_rad])
    assert degrees == pytest.approx([188.70269, 73.27343, 80.25221, 10.5878], abs=1e-9)
    assert (found.source, len(found.sha256)) == (name, 64)


def test_bodies_have_the_names_that_jpl_gives_them(tmp_path: Path) -> None:
    lines = [
        changed(c1="00433", c167="   (433) Eros               "),
        changed(c1="03708", c167="  (3708) 1974 FV1          "),
        unnumbered("K07Tf8A", "          2007 TA418"), unnumbered("PLS6344", ""),
        # Packed in the way for many bodies in one half-month, which is not read.
        unnumbered("_QC0aEM", "          2026 CZ6190"),
        changed(c1="~0001", c167=" (620001) 2010 AB          ")[:185], CERES[:110],
    ]  # fmt: skip
    found = read_elements(write(tmp_path / "f", *lines[:5], "", *lines[5:]))
    assert list(zip(found.numbers.tolist(), found.names, strict=True)) == [
        (433, "Eros"), (3708, "1974 FV1"), (0, "2007 TA418"), (0, "6344 P-L"), (0, "2026 CZ6190"), (620_001, "2010 AB"),
        (1, "1"),
    ]  # fmt: skip


def test_a_body_whose_orbit_is_not_complete_is_left_out_and_named(tmp_path: Path) -> None:
    blank = {"c9": 5, "c21": 5, "c27": 9, "c38": 9, "c49": 9, "c60": 9, "c71": 9, "c93": 11}
    lines = [unnumbered(f"K20A0{i}A", "", **{c: " " * n}) for i, (c, n) in enumerate(blank.items())]
    flags = [unnumbered(f"K20B0{i}B", "", c106=flag) for i, flag in enumerate("EFD")]
    others = [
        unnumbered("K20C00C", "", c71="1.2000000"), changed(c1="D4340", c167="(134340) Pluto"), changed(c15="     "),
    ]  # fmt: skip
    found = read_elements(write(tmp_path / "f", *lines, *flags, *others))
    # Only the slope may be missing, and D says nothing of how the orbit was found.
    assert found.names == ["2020 BB2", "Ceres"]
    assert found.slope.tolist() == [0.15, 0.15]
    assert found.left_out == (
        "2020 AA", *(f"2020 AA{i}" for i in range(1, 8)), "2020 BB", "2020 BB1", "2020 CC", "Pluto"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([CERES, CERES[:99]], "line 6 is cut short: 99 of at least 103"),
        ([CERES, changed(c9=" 3.x4")], "line 6, columns 9 to 13: H is '3.x4', no number"),
        ([CERES, "", changed(c93="  2.76605 2")], "line 7, columns 93 to 103: a is '2.76605 2', no number"),
        ([changed(c21="K25Z1")], "line 5, columns 21 to 25: 'K25Z1' is no packed date"),
        ([changed(c1="0000!")], "line 5, columns 1 to 7"), ([unnumbered("K2!A00A", "")], "line 5, columns 1 to 7"),
        ([changed(c1="00002")], r"line 5 is of body 00002 and of \(1\): its columns are displaced"),
        ([changed(c71="-.0794013")], "line 5 has an impossible orbit: e = -0.0794013"),
        ([changed(c93=" -2.7660512")], "line 5 has an impossible orbit"),
        ([changed(c60="190.58780")], "line 5 has an impossible orbit"),
        ([CERES, CERES], "1 bodies occur more than once"), ([], "it is empty"),
        ([changed(c71="1.2000000")], "there is no body in it"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("at_once", [1, 50_000])
def test_what_cannot_be_read_is_refused_by_line(tmp_path: Path, monkeypatch, lines, words, at_once) -> None:
    monkeypatch.setattr(mpc, "_LINES_AT_ONCE", at_once)
    with pytest.raises(InputError, match=words):
        read_elements(write(tmp_path / "f", *lines))


def test_a_file_that_is_cut_within_its_compression_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "f.gz", *(unnumbered(f"K{i:02}A00A", "") for i in range(99)))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="not a readable file of elements"):
        read_elements(path)


def test_lines_are_the_same_bodies_however_many_are_read_at_once(tmp_path: Path, monkeypatch) -> None:
    path = write(tmp_path / "f", *(unnumbered(f"K{i:02}A00A", "", c9=f"{i / 10:5.2f}") for i in range(25)))
    whole = read_elements(path)
    monkeypatch.setattr(mpc, "_LINES_AT_ONCE", 7)
    parts = read_elements(path)
    assert parts.names == whole.names == [f"20{i:02} AA" for i in range(25)]
    assert parts.absolute_mag.tolist() == whole.absolute_mag.tolist() == [i / 10 for i in range(25)]


def packed(number: int) -> str:
    digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    return f"{digits[number // 10_000]}{number % 10_000:04}"


def mpcorb_lines(elements: Elements) -> Sequence[str]:
    """Bodies with a number in the columns of MPCORB.DAT, as the format's description has them."""
    months = "123456789ABC"
    days = "123456789ABCDEFGHIJKLMNOPQRSTUV"
    lines = []
    for i in range(len(elements)):
        day = date.fromordinal(round(elements.epoch_jd[i] - 1721424.5))
        epoch = f"{'IJK'[day.year // 100 - 18]}{day.year % 100:02}{months[day.month - 1]}{days[day.day - 1]}"
        angles = [
            f"{np.degrees(angle[i]) % 360:9.5f}"
            for angle in (elements.anomaly_rad, elements.perihelion_rad, elements.node_rad, elements.inclination_rad)
        ]
        motion = 0.9856076686 / elements.semimajor_au[i] ** 1.5
        orbit = f"{elements.eccentricity[i]:9.7f} {motion:11.8f} {elements.semimajor_au[i]:11.7f}"
        number = int(elements.numbers[i])
        magnitude = f"{elements.absolute_mag[i]:5.2f} {elements.slope[i]:5.2f}"
        line = f"{packed(number):7} {magnitude} {epoch} {'  '.join(angles)}  {orbit}"
        lines.append(f"{line:<166}{f'({number})':>8} {elements.names[i]}")
    return lines


def test_the_same_bodies_from_either_file_are_predicted_at_the_same_places(shared_data: Path, tmp_path: Path) -> None:
    pytest.importorskip("de421")
    from vascodb.asteroids.planets import Planets  # noqa: PLC0415
    from vascodb.asteroids.predict import Exposures, predict  # noqa: PLC0415

    jpl = read_elements(shared_data / "benchmark" / "asteroid_elements_7099.json.gz")
    # Bodies of the main belt, among them the heaviest, which pull the others.
    jpl = jpl.take(np.flatnonzero((jpl.numbers > 0) & (jpl.semimajor_au < 3.6) & (jpl.eccentricity < 0.3))[:600])
    ours = read_elements(write(tmp_path / "MPCORB.DAT.gz", *mpcorb_lines(jpl)))
    assert (list(ours.names), ours.numbers.tolist()) == (list(jpl.names), jpl.numbers.tolist())
    assert ours.epoch_jd.tolist() == jpl.epoch_jd.tolist()
    everywhere = Exposures(np.zeros(1), np.zeros(1), np.array([180.0]), np.array([2433980.022]), np.array([50.0]))
    (a,), (b,) = (list(predict(bodies, Planets(), everywhere)) for bodies in (jpl, ours))
    assert a.bodies.tolist() == b.bodies.tolist() and len(a.bodies) == 600
    apart = 3600 * np.hypot(
        (a.trails.ra_deg - b.trails.ra_deg + 180) % 360 - 180, a.trails.dec_deg - b.trails.dec_deg
    )  # fmt: skip
    # Axes are rounded to 1e-7 au, which in 70 years is half an arcsec as seen from the Sun.
    assert np.median(apart) < 0.5
    assert np.quantile(apart, 0.99) < 3 * ours.error_arcsec
    assert np.max(apart) < 6.0
    assert np.max(np.abs(a.trails.mag - b.trails.mag)) < 0.02
