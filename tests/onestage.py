"""Stages by themselves: a profile of one stage, and what it says of some detections."""

from typing import Any

import pytest
from sqlalchemy.exc import DBAPIError
from toysky import ToySky

from vascodb.profiles import Profile, StageDefinition

__all__ = ["ARCSEC", "QUALITY", "one_stage", "outcomes", "red_blue", "refuses", "verdicts"]

ARCSEC = 1 / 3600


def one_stage(function: str, **parameters: Any) -> Profile:
    """A profile of a single stage."""
    stage = StageDefinition(stage="only", function=function, step=1, parameters=parameters)
    return Profile(name="toy", description="", extraction="seed", reference_stars=0, stages=(stage,))


def verdicts(toy: ToySky, profile: Profile, extraction_id: int) -> list[Any]:
    """Rows of the profile's only stage, in the order of the detections."""
    run_id = toy.judge(profile, extraction_id)
    return toy.execute(  # type: ignore[no-any-return]
        "SELECT outcome, value, reason, lookup_id FROM vasco.verdict "
        "WHERE run_id = :r AND extraction_id = :e ORDER BY number",
        r=run_id, e=extraction_id,
    ).all()  # fmt: skip


def outcomes(toy: ToySky, profile: Profile, extraction_id: int) -> list[str]:
    return [row.outcome for row in verdicts(toy, profile, extraction_id)]


def refuses(toy: ToySky, profile: Profile, extraction_id: int, words: str) -> None:
    with pytest.raises(DBAPIError, match=words), toy.connection.begin_nested():
        toy.judge(profile, extraction_id)


def red_blue(counterparts: str = "quality", field: str = "same", radius: float = 5.0, edge: float = 60.0) -> Profile:
    return one_stage("red_blue", radius_arcsec=radius, counterparts=counterparts, field=field, edge_arcsec=edge)


# Passes the replication pipeline's filter at 1.7 arcsec/px: 3.4 to 11.9 arcsec are 2 to 7 px.
QUALITY = {"spread_model": 0.0, "fwhm_image": 4.0, "elongation": 1.2, "snr_win": 40.0, "flags": 0}
