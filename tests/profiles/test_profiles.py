"""Profiles: what their files say, and that the database can do it."""

from typing import Any

import astropy.units as u
import pytest
from astropy.coordinates import Latitude, Longitude
from mocpy import MOC
from pydantic import ValidationError
from sqlalchemy import Connection, text
from toysky import ToySky, gates_of

from vascodb.errors import InputError
from vascodb.extract.config import load_config
from vascodb.pipeline.running import IMPORTED
from vascodb.profiles import Profile, StageDefinition, load_profile, profile_names


def test_there_is_the_seeds_profile_and_our_own() -> None:
    assert {"default", "vasco60"} <= set(profile_names())


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_can_be_run(connection: Connection, name: str) -> None:
    profile = load_profile(name)
    assert profile.name == name
    assert profile.description
    if profile.extraction != IMPORTED:
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


def test_the_seeds_profile_has_the_seeds_stages_in_their_order() -> None:
    profile = load_profile("vasco60")
    assert [s.stage for s in profile.stages] == [
        "gaia", "ps1", "usnob", "circle", "flags", "snr", "mad_clip", "spread_model", "fwhm", "elongation", "extent",
        "spike", "high_pm", "wcsfix", "duplicates", "morph", "shape", "gsc", "skybot", "skybot_wide", "supercosmos",
        "ptf", "vsx", "scope_dec", "earth_shadow",
    ]  # fmt: skip
    parameters = {s.stage: s.parameters for s in profile.stages}
    assert parameters["flags"] == {"forbidden_bits": 255}
    assert parameters["snr"] == {"min": 30}
    assert (parameters["mad_clip"]["k"], parameters["mad_clip"]["of_stages"]) == (2, ["flags", "snr"])
    assert parameters["spread_model"]["min"] == -0.002
    assert parameters["fwhm"] == {"unit": "px", "above": 2, "below": 7}
    assert parameters["elongation"] == {"below": 1.3}
    assert (parameters["extent"]["delta_below"], parameters["extent"]["min"]) == (2, 1)
    assert (parameters["spike"]["form"], parameters["spike"]["steady_mag"]) == ("nearest", 12.4)
    assert parameters["duplicates"]["within"] == "plan"
    assert profile.families == ["gaia"]


def test_only_our_own_profile_takes_shape_limits_from_stars_and_only_the_seeds_tolerate_what_failed() -> None:
    for name in ("vasco60", "default", "mnras2022", "replication"):
        stages = {s.stage: s for s in load_profile(name).stages}
        # A stage that only marks tolerates everything; of the others only vasco60's take a failed look-up for a pass.
        asking = ("veto", "veto_at", "moving", "keep_match")
        looks = [s for s in stages.values() if s.function_name in asking and "fail" not in s.tolerates]
        assert any("unknown" in s.tolerates for s in looks) == (name == "vasco60"), name
        assert stages["gaia"].tolerates == ()
        if name != "replication":
            assert stages["mad_clip"].parameters["population"] == ("stars" if name == "default" else "passed")


@pytest.mark.parametrize("name", profile_names())
def test_what_depends_on_other_images_says_so(name: str) -> None:
    of_the_sky = {"duplicates", "persistence", "primary_plate", "red_blue"}
    for stage in load_profile(name).stages:
        assert (stage.scope == "sky") == (stage.function_name in of_the_sky), stage.stage


@pytest.mark.parametrize("name", [n for n in profile_names() if not n.endswith("_release")])
def test_whatever_is_measured_at_some_cost_comes_after_a_veto_where_the_veto_comes_first(name: str) -> None:
    profile = load_profile(name)
    first = profile.stages[0]
    costly = [s.step for s in profile.stages if s.function_name in ("shape", "morph")]
    assert all(step > first.step for step in costly)
    if first.function_name == "veto":
        assert all(s.step > first.step for s in profile.stages if s.function_name in ("mad_clip", "spread_model"))


def test_parameters_can_be_set_and_what_cannot_be_is_refused() -> None:
    plain = load_profile("default")
    changed = plain.setting(["snr.min=20.5", "fwhm.unit=px", 'mad_clip.quantities=["elongation"]'])
    parameters = {s.stage: s.parameters for s in changed.stages}
    assert (parameters["snr"]["min"], parameters["fwhm"]["unit"]) == (20.5, "px")
    assert parameters["mad_clip"]["quantities"] == ["elongation"]
    assert {s.stage: s.parameters for s in plain.stages}["snr"]["min"] == 10
    assert plain.setting([]) == plain
    for change, message in {
        "snr": "STAGE.PARAMETER=VALUE", "snr=3": "STAGE.PARAMETER=VALUE", "no.min=3": "no stage 'no'",
        "snr.no=3": "no parameter 'no'; there are: min", "snr.min=x": "has 10 there", "snr.min=true": "has 10 there",
        "fwhm.unit=3": 'has "arcsec" there', "mad_clip.quantities=3": "of that kind",
    }.items():  # fmt: skip
        with pytest.raises(InputError, match=message):
            plain.setting([change])


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


def test_a_profile_may_require_more_families_each_a_veto_that_tolerates_nothing() -> None:
    profile, plain = load_profile("default").requiring(["neowise", "2mass", "neowise"]), load_profile("default")
    assert profile.name == "default+2mass+neowise"
    assert profile.families == ["gaia", "neowise", "2mass"]
    # What the profile asks already, it asks in its place; what it does not, at its first step.
    assert [(s.stage, s.step) for s in profile.stages[:3]] == [("gaia", 1), ("neowise", 1), (plain.stages[1].stage, 2)]
    stages = {s.stage: s for s in profile.stages}
    assert (stages["twomass"].tolerates, stages["neowise"].tolerates) == ((), ())
    assert len(profile.stages) == len(plain.stages) + 1
    assert profile.gates == plain.gates
    assert profile == load_profile("default").requiring(["2mass"]).requiring(["neowise"])
    assert profile.name == load_profile("default").requiring(["neowise", "2mass"]).name


def test_requiring_what_is_required_already_changes_nothing() -> None:
    plain = load_profile("default")
    assert plain.requiring(["gaia"]) == plain.requiring([]) == plain


@pytest.mark.parametrize("family", ["", "no_such", "Gaia", "gaia_dr3", "gaia; DROP"])
def test_a_family_without_catalogues_is_refused_with_the_list(family: str) -> None:
    with pytest.raises(InputError, match=r"unknown family of catalogues .*; there are: .*gaia"):
        load_profile("default").requiring([family])


@pytest.mark.parametrize("family", ["ps1", "2mass"])
def test_a_candidate_is_clear_of_every_required_family(connection: Connection, family: str) -> None:
    toy = ToySky(connection)
    extraction_id = toy.extraction()
    toy.detections(extraction_id, [10.0, 10.1, 10.2, 10.3, 20.0], [0.0] * 5, fwhm_image=[4.0, 3.9, 4.1, 4.05, 3.95])
    name = toy.catalog("another", family)
    toy.sources("gaia_dr3", [10.0], [0.0])
    toy.sources(name, [10.1], [0.0])
    toy.lookup("gaia_dr3")
    toy.lookup(name, MOC.from_cone(Longitude(10.0, u.deg), Latitude(0.0, u.deg), radius=1 * u.deg, max_depth=12))
    for catalog in ("gaia_dr3", name):
        toy.match(extraction_id, catalog)
    plain = gates_of("vasco60")
    required = plain.requiring([family])
    alone, both = toy.judge(plain, extraction_id), toy.judge(required, extraction_id)
    assert toy.outcomes(both, "gaia") == {1: "fail", 2: "pass", 3: "pass", 4: "pass", 5: "pass"}
    assert toy.outcomes(both, family) == {1: "pass", 2: "fail", 3: "pass", 4: "pass", 5: "not_covered"}
    assert (toy.candidates(alone), toy.candidates(both)) == ([2, 3, 4, 5], [3, 4])
    runs = toy.execute("SELECT run FROM vasco.run ORDER BY 1").scalars().all()
    assert runs == ["vasco60", f"vasco60+{family}"]


@pytest.mark.parametrize("name", profile_names())
def test_our_own_profiles_go_by_the_corrected_time_and_the_seeds_by_the_literal_one(name: str) -> None:
    for stage in load_profile(name).stages:
        if stage.function_name in ("moving", "earth_shadow"):
            time = (stage.parameters.get("reading", "corrected"), stage.parameters.get("instant", "mid"))
            assert time == (("corrected", "mid") if name.startswith("default") else ("literal", "start")), stage.stage
