"""What a release says of its detections in reference catalogues, and on what evidence."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vascodb.errors import InputError
from vascodb.releases.reading import Release
from vascodb.releases.stages import PublishedStage

__all__ = ["CatalogueStates", "catalogue_states"]

GAIA = "gaia_dr3"
_NO_MORPH = "the release does not show that it had Gaia's stars of this tile"
_WIDEST_SEP_ARCSEC = 360.0 * 3600.0


@dataclass(frozen=True)
class CatalogueStates:
    """What one catalogue says of some detections, in the words of ``vasco.match``.

    Parameters
    ----------
    catalog : str
        The catalogue.
    stage : `PublishedStage` or None
        The stage whose file says so; None where none does.
    complete : bool
        Whether the file shows that the look-up was whole: only then is anything clear.
    index : ndarray of int64, shape (n,)
        Places of the detections.
    state : list of str, length n
        ``matched``, ``clear`` or ``unknown``.
    sep_arcsec : ndarray of float64, shape (n,)
        Separation of the counterpart; NaN where there is none, or no word of it.
    reason : list of str or None, length n
        Why the state is unknown, or what else there is to say.
    """

    catalog: str
    stage: PublishedStage | None
    complete: bool
    index: NDArray[np.int64]
    state: list[str]
    sep_arcsec: NDArray[np.float64]
    reason: list[str | None]


def catalogue_states(release: Release) -> Iterator[CatalogueStates]:
    """What each catalogue that a release asked says of its detections.

    Every detection passed the release's veto by Gaia. That means something only on tiles for which it had
    stars of Gaia: on others nothing can have been vetoed.
    """
    yield _gaia(release)
    for stage in release.stages:
        if stage.catalogue is not None and stage.matched is not None:
            yield _asked(stage, stage.matched)


def _gaia(release: Release) -> CatalogueStates:
    morph = next((stage for stage in release.stages if stage.kind == "MORPH"), None)
    complete = morph is not None and morph.doubt is None
    stars = [release.tiles[place].psf_stars for place in release.detections.tile.tolist()]
    reasons: list[str | None] = []
    for count in stars:
        if morph is None:
            reasons.append(_NO_MORPH)
        elif count is None:
            reasons.append(f"{morph.file.name} says nothing of Gaia's stars on this tile")
        elif count == 0:
            reasons.append("the release had no star of Gaia on this tile: nothing can have been vetoed")
        else:
            reasons.append(None if complete else morph.doubt)
    return CatalogueStates(
        catalog=GAIA,
        stage=morph,
        complete=complete,
        index=np.arange(len(stars), dtype=np.int64),
        state=["clear" if reason is None else "unknown" for reason in reasons],
        sep_arcsec=np.full(len(stars), np.nan),
        reason=reasons,
    )


def _asked(stage: PublishedStage, matched: NDArray[np.bool_]) -> CatalogueStates:
    assert stage.catalogue is not None
    doubt = _doubt(stage)
    sep = np.full(len(matched), np.nan)
    if stage.catalogue.sep is not None:
        if not stage.flags.has(stage.catalogue.sep):
            raise InputError(f"{stage.file.name}: row 1, column {stage.catalogue.sep}: is missing")
        sep = stage.flags.numbers(stage.catalogue.sep, 0.0, _WIDEST_SEP_ARCSEC, optional=True)
    state, reasons = [], []
    for is_matched, reason in zip(matched.tolist(), _remarks(stage, sep), strict=True):
        unknown = not is_matched and (doubt is not None or reason in _UNKNOWN)
        state.append("matched" if is_matched else "unknown" if unknown else "clear")
        reasons.append((doubt or reason) if unknown else reason)
    return CatalogueStates(
        catalog=stage.catalogue.name,
        stage=stage,
        complete=doubt is None,
        index=stage.index,
        state=state,
        sep_arcsec=np.where(matched, sep, np.nan),
        reason=reasons,
    )


# SkyBoT's field is a degree wide and hardly ever empty; the file does not tell an empty field from a failed query.
_SILENT = "SkyBoT's answer for the field was empty, or failed: the release does not tell which"
_WIDE = "a moving object is within 60 arcsec"
_UNKNOWN = (_SILENT,)


def _remarks(stage: PublishedStage, sep: NDArray[np.float64]) -> list[str | None]:
    if stage.kind != "SKYBOT":
        return [None] * len(sep)
    if not stage.flags.has("wide_skybot_match"):
        raise InputError(f"{stage.file.name}: row 1, column wide_skybot_match: is missing")
    wide = stage.flags.flags("wide_skybot_match")
    return [_WIDE if w else _SILENT if np.isnan(s) else None for w, s in zip(wide.tolist(), sep.tolist(), strict=True)]


def _doubt(stage: PublishedStage) -> str | None:
    """Why a stage's look-up cannot be known to have been whole."""
    if not stage.ledger:
        return f"no ledger says that the look-up of {stage.label} was whole"
    parts: Any = stage.ledger.get("per_part", [])
    for part in parts if isinstance(parts, list) else []:
        if part.get("http_status", 200) != 200:
            return f"{stage.label}: {part.get('part', 'a part')} was answered with HTTP status {part['http_status']}"
    return None
