"""Judge: take images through the stages of a run, in order, each stage measured for before it judges."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from itertools import groupby
from time import perf_counter
from typing import Any, Protocol

from sqlalchemy import Connection, Row, text

from vascodb.pipeline.runs import add_images

__all__ = ["Judge", "Measurer", "StageProgress", "judge"]

# Detections that one transaction judges at most, unless a single image has more.
_DETECTIONS_AT_ONCE = 500_000
_IMAGES_WITHOUT_STATISTICS = 20

Transactions = Callable[[], AbstractContextManager[Connection]]


class Measurer(Protocol):
    """Fills in what a stage reads but SQL cannot measure: quantities of pixels."""

    def measure(self, transactions: Transactions, run_id: int, stage: Row[Any], extraction_ids: Sequence[int]) -> None:
        """Measure what the stage is going to judge on these images and nobody has measured yet."""
        ...


@dataclass(frozen=True)
class StageProgress:
    """How far a stage has come.

    Parameters
    ----------
    stage : str
        Its name.
    place, n_stages : int
        Its place in the run, from 1, and of how many.
    done, n_images : int
        Images judged, and of how many.
    """

    stage: str
    place: int
    n_stages: int
    done: int
    n_images: int


@dataclass
class Judge:
    """Takes images through the stages of a run.

    Parameters
    ----------
    transactions : callable
        Gives a connection in a transaction, which the end of the context commits.
    run_id : int
        The run.
    measurers : mapping of str to `Measurer`
        By name of the stage function that needs them.
    progress : callable, optional
        Called before and after each step with a `StageProgress`.
    before_sky : callable, optional
        Called before the first stage whose verdicts depend on other images of the run.
    """

    transactions: Transactions
    run_id: int
    measurers: Mapping[str, Measurer] = field(default_factory=dict)
    progress: Callable[[StageProgress], None] = lambda _: None
    before_sky: Callable[[], None] = lambda: None

    def __post_init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.written = 0

    def judge(self, extraction_ids: Sequence[int], from_stage: str | None = None) -> int:
        """Judge images by all stages from one on; returns the number of verdicts written.

        A stage whose verdicts depend on overlapping images of the run judges those as well; where
        that changes anything, the stages behind it judge them again.

        Parameters
        ----------
        extraction_ids : sequence of int
            Images of the run.
        from_stage : str, optional
            The first stage to judge by; those before it stay as they are.
        """
        with self.transactions() as connection:
            stages = connection.execute(
                text("SELECT * FROM vasco.run_stage WHERE run_id = :run_id ORDER BY ordinal"), {"run_id": self.run_id}
            ).all()
        begins = [stage.stage for stage in stages].index(from_stage) if from_stage else 0
        images = set(extraction_ids)
        first_of_sky = next((stage for stage in stages if stage.scope == "sky"), None)
        for place, stage in enumerate(stages[begins:], start=begins + 1):
            started = perf_counter()
            if stage is first_of_sky:
                self.before_sky()
            wanted = self._with_overlapping(images) if stage.scope == "sky" else images
            images |= self._judge_by(stage, sorted(wanted), place, len(stages))
            self.seconds[stage.stage] = perf_counter() - started
        return self.written

    def _judge_by(self, stage: Row[Any], images: Sequence[int], place: int, n_stages: int) -> set[int]:
        """Judge images by one stage; returns those of which a verdict changed."""
        changed: set[int] = set()
        done = 0
        if len(images) > _IMAGES_WITHOUT_STATISTICS:
            # The planner has to know how many verdicts there are by now.
            with self.transactions() as connection:
                connection.execute(text("ANALYZE vasco.verdict, vasco.run_image"))
        self.progress(StageProgress(stage.stage, place, n_stages, 0, len(images)))
        for batch in self._batches(images):
            measurer = self.measurers.get(stage.function)
            if measurer is not None:
                measurer.measure(self.transactions, self.run_id, stage, batch)
            with self.transactions() as connection:
                rows = connection.execute(
                    text("SELECT * FROM stage.apply(:run_id, :stage, CAST(:images AS bigint[]))"),
                    {"run_id": self.run_id, "stage": stage.stage, "images": batch},
                ).all()
            changed |= {row.extraction_id for row in rows}
            self.written += sum(row.n_written for row in rows)
            done += len(batch)
            self.progress(StageProgress(stage.stage, place, n_stages, done, len(images)))
        return changed

    def _with_overlapping(self, images: set[int]) -> set[int]:
        with self.transactions() as connection:
            rows = connection.scalars(
                text("SELECT extraction_id FROM stage.overlapping_images(:run_id, CAST(:images AS bigint[]))"),
                {"run_id": self.run_id, "images": sorted(images)},
            )
            return images | set(rows)

    def _batches(self, images: Sequence[int]) -> Iterator[list[int]]:
        """Images in parts of about as many detections as one transaction should judge."""
        if not images:
            return
        with self.transactions() as connection:
            rows = connection.execute(
                text("""
                    SELECT
                        e.extraction_id,
                        sum(e.n_detections) OVER (ORDER BY e.extraction_id) - e.n_detections AS before
                    FROM vasco.extraction AS e
                    WHERE e.extraction_id = ANY (CAST(:images AS bigint[]))
                    ORDER BY e.extraction_id
                """),
                {"images": list(images)},
            ).all()
        for _, part in groupby(rows, key=lambda row: row.before // _DETECTIONS_AT_ONCE):
            yield [row.extraction_id for row in part]


def judge(connection: Connection, run_id: int, extraction_id: int) -> int:
    """Let one image join a run and judge it by all stages, within the caller's transaction.

    Nothing is measured. Returns the number of verdicts written.
    """
    add_images(connection, run_id, [extraction_id])
    return Judge(lambda: nullcontext(connection), run_id).judge([extraction_id])
