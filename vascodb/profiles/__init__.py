"""Profiles: named, ordered lists of stages with their parameters, one TOML file each."""

import tomllib
from collections.abc import Iterable
from importlib.resources import files
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

from vascodb.errors import InputError
from vascodb.loaders.registry import catalogs

__all__ = ["Profile", "StageDefinition", "load_profile", "profile_names"]


class StageDefinition(BaseModel):
    """One stage of a profile.

    Parameters
    ----------
    stage : str
        Its name within the profile.
    function : str
        The function in schema ``stage`` that judges; the stage's own name by default.
    step : int
        Stages of one step judge the same detections: those that passed every earlier step.
    parameters : dict
        What the function takes; its SQL file says what they mean.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    function: str = Field(default="", pattern=r"^[a-z0-9_]*$")
    step: int = Field(gt=0)
    parameters: dict[str, Any] = {}

    @property
    def function_name(self) -> str:
        """Name of the SQL function."""
        return self.function or self.stage


class Profile(BaseModel):
    """A named, ordered list of stages, and how images are extracted for it.

    Parameters
    ----------
    name : str
        Name of the profile and of its file.
    description : str
        What it is for, in one line.
    extraction : str
        Extraction configuration.
    reference_stars : int
        Known stars per image whose PSF quantities are measured beside the candidates'.
    stages : tuple of `StageDefinition`
        In order of execution; all are required.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    description: str
    extraction: str
    reference_stars: int = Field(ge=0)
    stages: tuple[StageDefinition, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _in_order(self) -> "Profile":
        steps = [stage.step for stage in self.stages]
        names = [stage.stage for stage in self.stages]
        if steps != sorted(steps) or len(set(names)) != len(names):
            raise ValueError("stages must have names of their own and steps that do not fall")
        return self

    @property
    def families(self) -> list[str]:
        """Families of catalogues that must leave a detection clear."""
        return [s.parameters["family"] for s in self.stages if s.function_name == "veto"]

    @property
    def gates(self) -> list[str]:
        """Names of the stages that judge measured values."""
        return [s.stage for s in self.stages if s.function_name != "veto"]

    def requiring(self, families: Iterable[str]) -> "Profile":
        """The profile with a veto at its first step for each of some more families of catalogues.

        Parameters
        ----------
        families : iterable of str
            What the profile requires already changes nothing.

        Returns
        -------
        `Profile`
            Named after both, such as ``default+ps1+usnob``, whatever the order they are given in.

        Raises
        ------
        InputError
            If no registered catalogue is of that family; the message lists those there are.
        """
        known = {definition.family for definition in catalogs().values()}
        more = sorted(set(families) - set(self.families))
        if strange := [family for family in more if family not in known]:
            raise InputError(f"unknown family of catalogues {strange[0]!r}; there are: {', '.join(sorted(known))}")
        first = min(stage.step for stage in self.stages)
        vetoes = [
            StageDefinition(stage=family, function="veto", step=first, parameters={"family": family}) for family in more
        ]
        changes = {
            "name": "+".join([self.name, *more]),
            "stages": (
                *(s for s in self.stages if s.step == first),
                *vetoes,
                *(s for s in self.stages if s.step > first),
            ),
        }
        return Profile.model_validate(self.model_dump() | changes)


def profile_names() -> list[str]:
    """Names of the profiles there are."""
    return sorted(p.name.removesuffix(".toml") for p in files(__package__).iterdir() if p.name.endswith(".toml"))


def load_profile(name: str) -> Profile:
    """The profile of that name.

    Raises
    ------
    InputError
        If there is none; the message lists those there are.
    """
    if name not in profile_names():
        raise InputError(f"unknown profile {name!r}; there are: {', '.join(profile_names())}")
    content = tomllib.loads(files(__package__).joinpath(f"{name}.toml").read_text(encoding="utf-8"))
    return Profile(name=name, **content)
