"""Profiles: what their files say, and that the database can do it."""

from typing import Any

import pytest
from pydantic import ValidationError
from sqlalchemy import Connection, text

from vascodb.errors import InputError
from vascodb.extract.config import load_config
from vascodb.profiles import Profile, StageDefinition, load_profile, profile_names


def test_there_is_the_seeds_profile_and_our_own() -> None:
    assert {"default", "vasco60"} <= set(profile_names())


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_can_be_run(connection: Connection, name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.description
    assert load_config(profile.extraction).name == profile.extraction
    functions = set(
        connection.scalars(
            text("""
                SELECT proname FROM pg_proc WHERE pronamespace = 'stage'::regnamespace
                AND pg_get_function_identity_arguments(oid) LIKE '%params jsonb%'
            """)
        )
    )
    families = set(connection.scalars(text("SELECT family FROM ref.catalog")))
    assert {stage.function_name for stage in profile.stages} <= functions
    assert set(profile.families) <= families


def test_the_seeds_profile_has_the_seeds_gates_in_their_order() -> None:
    profile = load_profile("vasco60")
    assert [s.stage for s in profile.stages] == [
        "gaia", "flags", "snr", "mad_clip", "spread_model", "fwhm", "elongation", "extent"
    ]  # fmt: skip
    parameters = {s.stage: s.parameters for s in profile.stages}
    assert parameters["flags"] == {"forbidden_bits": 255}
    assert parameters["snr"] == {"min": 30}
    assert (parameters["mad_clip"]["k"], parameters["mad_clip"]["of_stages"]) == (2, ["flags", "snr"])
    assert parameters["spread_model"]["min"] == -0.002
    assert parameters["fwhm"] == {"unit": "px", "above": 2, "below": 7}
    assert parameters["elongation"] == {"below": 1.3}
    assert (parameters["extent"]["delta_below"], parameters["extent"]["min"]) == (2, 1)
    assert (profile.families, profile.gates) == (["gaia"], [s.stage for s in profile.stages[1:]])


@pytest.mark.parametrize("name", profile_names())
def test_every_veto_comes_before_every_measurement(name: str) -> None:
    profile = load_profile(name)
    vetoes = [s.step for s in profile.stages if s.function_name == "veto"]
    gates = [s.step for s in profile.stages if s.function_name != "veto"]
    assert max(vetoes) < min(gates)


@pytest.mark.parametrize("name", ["", "Default", "no_such", "../default", "default.toml"])
def test_an_unknown_profile_is_refused_with_the_list(name: str) -> None:
    with pytest.raises(InputError, match=r"unknown profile .*; there are: .*default.*vasco60"):
        load_profile(name)


def stage(**changes: Any) -> dict[str, Any]:
    return {"stage": "snr", "step": 1, "parameters": {}} | changes


@pytest.mark.parametrize(
    "stages",
    [
        [], [stage(step=0)], [stage(stage="Snr")], [stage(stage="a b")], [stage(stage="")], [stage(typo=1)],
        [stage(), stage()], [stage(step=2), stage(stage="other", step=1)], [stage(function="DROP TABLE")],
    ],
)  # fmt: skip
def test_a_profile_with_a_mistake_is_refused(stages: list[dict[str, Any]]) -> None:
    with pytest.raises(ValidationError):
        Profile(name="x", description="", extraction="seed", reference_stars=1, stages=stages)  # type: ignore[arg-type]


def test_a_stage_is_judged_by_the_function_of_its_name_unless_it_names_another() -> None:
    assert StageDefinition(stage="snr", step=1).function_name == "snr"
    assert StageDefinition(stage="gaia", function="veto", step=1).function_name == "veto"
