"""Profiles: named, ordered lists of stages with their parameters, one TOML file each."""

import json
import tomllib
from collections.abc import Iterable
from importlib.resources import files
from typing import Any, Literal

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
    tolerates : tuple of {'fail', 'unknown', 'not_covered'}
        Outcomes that do not stop a detection but mark it. A stage that tolerates ``fail`` is a flag.
    scope : {'image', 'sky'}
        ``sky`` where a verdict also depends on overlapping images of the run.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    stage: str = Field(pattern=r"^[a-z0-9][a-z0-9_]*$")
    function: str = Field(default="", pattern=r"^[a-z0-9_]*$")
    step: int = Field(gt=0)
    parameters: dict[str, Any] = {}
    tolerates: tuple[Literal["fail", "unknown", "not_covered"], ...] = ()
    scope: Literal["image", "sky"] = "image"

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
        return [
            s.parameters["family"]
            for s in self.stages
            if s.function_name == "veto" and "not_covered" not in s.tolerates
        ]

    @property
    def vetoes(self) -> list[str]:
        """Names of the stages that veto by a family of catalogues, required or not."""
        return [s.stage for s in self.stages if s.function_name == "veto"]

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
        vetoes = {s.parameters["family"]: s for s in self.stages if s.function_name == "veto"}
        strict = {vetoes[family].stage for family in more if family in vetoes}
        stages = [s.model_copy(update={"tolerates": ()}) if s.stage in strict else s for s in self.stages]
        first = min(stage.step for stage in self.stages)
        new = [
            StageDefinition(stage=family, function="veto", step=first, parameters={"family": family})
            for family in more
            if family not in vetoes
        ]
        changes = {
            "name": "+".join([self.name, *more]),
            "stages": (*(s for s in stages if s.step == first), *new, *(s for s in stages if s.step > first)),
        }
        return self._changed(changes)

    def setting(self, changes: Iterable[str]) -> "Profile":
        """The profile with other values of parameters.

        Parameters
        ----------
        changes : iterable of str
            Each ``STAGE.PARAMETER=VALUE``, the value as JSON; text needs no quotes.

        Raises
        ------
        InputError
            If there is no such stage or parameter, or the value is of another kind than the profile's.
        """
        parameters = {stage.stage: dict(stage.parameters) for stage in self.stages}
        for change in changes:
            name, equals, value = change.partition("=")
            stage, dot, key = name.partition(".")
            if not (equals and dot):
                raise InputError(f"--set {change}: write STAGE.PARAMETER=VALUE, such as snr.min=20")
            if stage not in parameters:
                raise InputError(f"--set {change}: profile {self.name} has no stage {stage!r}; {_these(parameters)}")
            if key not in parameters[stage]:
                raise InputError(f"--set {change}: stage {stage} has no parameter {key!r}; {_these(parameters[stage])}")
            parameters[stage][key] = _value_like(parameters[stage][key], value, change)
        stages = tuple(s.model_copy(update={"parameters": parameters[s.stage]}) for s in self.stages)
        return self._changed({"stages": stages})

    def _changed(self, changes: dict[str, Any]) -> "Profile":
        return Profile.model_validate(self.model_dump() | changes)


def _these(names: Iterable[str]) -> str:
    return f"there are: {', '.join(names) or 'none'}"


def _value_like(old: Any, new: str, change: str) -> Any:
    """A parameter's new value, of the kind that the old one has."""
    try:
        value = json.loads(new)
    except json.JSONDecodeError:
        value = new
    number = (int, float)
    if isinstance(old, bool) or isinstance(value, bool):
        fits = isinstance(old, bool) and isinstance(value, bool)
    elif isinstance(old, number):
        fits = isinstance(value, number)
    else:
        fits = isinstance(value, type(old))
    if not fits:
        raise InputError(f"--set {change}: the profile has {json.dumps(old)} there; give a value of that kind")
    return value


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
