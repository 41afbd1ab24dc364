"""Measurers of pixels, by the stage functions that need them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Row

from vascodb.measure import measure_shapes
from vascodb.pipeline.judging import Measurer, Transactions
from vascodb.pipeline.measuring import BlueMeasurer, PsfMeasurer, psf_measurers
from vascodb.profiles import Profile

__all__ = ["ShapeMeasurer", "pixel_measurers"]


class ShapeMeasurer:
    """Measures the shapes that a stage is going to judge.

    Parameters
    ----------
    note : callable, optional
        Called with what is being done.
    warn : callable, optional
        Called with one line for each reason why something could not be measured; the stage says it, too.
    """

    def __init__(
        self, note: Callable[[str], None] = lambda _: None, warn: Callable[[str], None] = lambda _: None
    ) -> None:
        self._note, self._warn = note, warn

    def measure(self, transactions: Transactions, run_id: int, stage: Row[Any], extraction_ids: Sequence[int]) -> None:
        """Measure what the stage is going to judge on these images and nobody has measured yet."""
        self._note("measure shapes")
        with transactions() as connection:
            report = measure_shapes(connection, run_id, stage.stage, stage.parameters, extraction_ids)
        for failure in report.failures:
            self._warn(f"shapes: {failure}")


def pixel_measurers(
    profile: Profile,
    of_images: Measurer,
    of_stored: PsfMeasurer,
    note: Callable[[str], None] = lambda _: None,
    warn: Callable[[str], None] = lambda _: None,
) -> Mapping[str, Measurer]:
    """Measurers by the stage functions of a profile that need them.

    Parameters
    ----------
    profile : `Profile`
        The profile.
    of_images : `Measurer`
        Measures what is judged against the PSF.
    of_stored : `PsfMeasurer`
        Measures what it is compared with: other images, from their own files.
    note, warn : callable, optional
        See `ShapeMeasurer`.
    """
    return {
        **psf_measurers(profile, of_images),
        "shape": ShapeMeasurer(note, warn),
        "red_blue": BlueMeasurer(of_stored),
    }
