"""Which file of the seeds each stage of a run goes into."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

__all__ = ["LabelledStage", "Layout", "RunStage", "lay_out"]

_BY_FUNCTION = {"morph": ("S0M", "MORPH"), "shape": ("S0S", "SHAPE"), "scope_dec": ("S6", "SCOPE_DEC")}
_BY_FAMILY = {
    "gsc": ("S1", "GSC"), "skybot": ("S2", "SKYBOT"), "supercosmos": ("S3", "SCOS"), "ptf": ("S4", "PTF"),
    "vsx": ("S5", "VSX"),
}  # fmt: skip
_VETOES = ("veto", "veto_at", "moving")
_FIRST_OF_OUR_OWN = 7


@dataclass(frozen=True)
class RunStage:
    """A stage of a run.

    Parameters
    ----------
    ordinal : int
        Its place.
    stage, function : str
        Its name, and that of the function that judges.
    step : int
        Stages of one step judge the same detections.
    parameters : mapping
        What the function was given.
    tolerates : sequence of str
        Outcomes that let a detection go on.
    catalogs : sequence of str
        Catalogues of the family that it asks; empty where it asks none.
    radius_arcsec : float or None
        How far about a detection these are searched.
    moving : bool
        Whether they are of moving objects.
    judged_at : datetime or None
        When it was last at work.
    """

    ordinal: int
    stage: str
    step: int
    function: str
    parameters: Mapping[str, Any]
    tolerates: Sequence[str]
    catalogs: Sequence[str]
    radius_arcsec: float | None
    moving: bool
    judged_at: datetime | None


@dataclass(frozen=True)
class LabelledStage:
    """A stage with a file.

    Parameters
    ----------
    label, kind : str
        ``S1`` and ``GSC`` for ``stage_S1_GSC.csv``; the kind also says which columns the flags have.
    stage : `RunStage`
        The stage.
    inputs : tuple of str
        Names of the files of what it judged: those of the last step before that dropped anything.
    """

    label: str
    kind: str
    stage: RunStage
    inputs: tuple[str, ...]

    @property
    def drops(self) -> bool:
        """Whether it drops what fails, and does not only flag it."""
        return "fail" not in self.stage.tolerates

    @property
    def name(self) -> str:
        """What its files are called after ``stage_``."""
        return f"{self.label}_{self.kind}"

    @property
    def file_name(self) -> str:
        """The file of what it kept."""
        return f"stage_{self.name}.csv"


@dataclass(frozen=True)
class Layout:
    """The stages of a run as the seeds would have them.

    Parameters
    ----------
    before : tuple of `RunStage`
        What the seeds do tile by tile, before they list what is left in S0.
    duplicates : `RunStage` or None
        The stage that drops duplicates from that list.
    stages : tuple of `LabelledStage`
        The stages after S0, in their order.
    """

    before: tuple[RunStage, ...]
    duplicates: RunStage | None
    stages: tuple[LabelledStage, ...]


def lay_out(stages: Sequence[RunStage]) -> Layout:
    """Find where S0 is, and label what comes after it.

    S0 is what goes into the first step with a stage that the seeds have after S0, or that drops
    duplicates; without one, what is left at the end. A stage that the seeds never had, or have once only, or
    that flags without dropping anything, is ``S7_NAME`` and so on.

    Parameters
    ----------
    stages : sequence of `RunStage`
        All stages of a run, in their order.
    """
    named = [stage.step for stage in stages if _drops_duplicates(stage) or _seed_label(stage)]
    if not named:
        return Layout(tuple(stages), None, ())
    first = min(named)
    before = tuple(stage for stage in stages if stage.step < first)
    opening = [stage for stage in stages if stage.step == first]
    duplicates = opening[0] if len(opening) == 1 and _drops_duplicates(opening[0]) else None
    labelled: list[LabelledStage] = []
    used: set[tuple[str, str]] = set()
    number = _FIRST_OF_OUR_OWN
    for stage in stages:
        if stage in before or stage is duplicates:
            continue
        label = _seed_label(stage)
        if label is None or label in used:
            label = (f"S{number}", stage.stage.upper())
            number += 1
        used.add(label)
        labelled.append(LabelledStage(*label, stage, _inputs(labelled, stage)))
    return Layout(before, duplicates, tuple(labelled))


def _drops_duplicates(stage: RunStage) -> bool:
    return stage.function == "duplicates" and "fail" not in stage.tolerates


def _seed_label(stage: RunStage) -> tuple[str, str] | None:
    # The seeds have no stage that only flags.
    if "fail" in stage.tolerates:
        return None
    if stage.function == "published":
        label, _, kind = str(stage.parameters.get("label", "")).partition("_")
        return (label, kind) if kind else None
    if stage.function in _VETOES or (stage.function, stage.parameters.get("family")) == ("keep_match", "supercosmos"):
        return _BY_FAMILY.get(str(stage.parameters.get("family")))
    return _BY_FUNCTION.get(stage.function)


def _inputs(labelled: Sequence[LabelledStage], stage: RunStage) -> tuple[str, ...]:
    # What a stage that only flags has kept is what it was given.
    before = [one for one in labelled if one.stage.step < stage.step and one.drops]
    if not before:
        return ("stage_S0.csv",)
    last = max(one.stage.step for one in before)
    return tuple(one.file_name for one in before if one.stage.step == last)
