"""The command that loads partitions: what it says, and what it refuses."""

from pathlib import Path

import pytest
from commandline import Vascodb, assert_one_line
from mixedorders import BOUNDARY, PARTS, spoil


def test_the_command_says_what_it_did(vascodb: Vascodb, hats: Path) -> None:
    outcome = vascodb.ok("load-hats", "gaia_dr3", hats, "--cone", f"150.0,{BOUNDARY},0.3deg", "--workers", "1")
    assert outcome.out.startswith("gaia_dr3: ")
    assert "deg² in all" in outcome.out
    spoil(hats, next(iter(PARTS)), "missing")
    outcome = vascodb.run("load-hats", "gaia_dr3", hats)
    assert outcome.status == 1
    assert outcome.err.splitlines()[-1].startswith(f"vascodb: 1 of {len(PARTS)} partitions failed and cover nothing")
    assert "its file is missing" in outcome.err.splitlines()[-2]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--cone", "1,2,3deg", "--moc", "x.fits"], "give --cone or --moc, not both"),
        (["--column", "ra"], "write CORE=NAME"),
        (["--cone", "1,2"], "give RA,DEC,RADIUS"),
    ],
)
def test_the_command_refuses_in_one_line(vascodb: Vascodb, hats: Path, arguments: list[str], reason: str) -> None:
    outcome = vascodb.run("load-hats", "gaia_dr3", hats, *arguments)
    assert_one_line(outcome, reason)
