"""Run a profile under a name over a selection of images: match, measure what is missing, judge what is stale."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter

from sqlalchemy import Connection, text

from vascodb.bulk import advisory_lock
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.pipeline.judging import Judge, Measurer, StageProgress
from vascodb.pipeline.matching import match_image_anew
from vascodb.pipeline.measurers import pixel_measurers
from vascodb.pipeline.measuring import PsfMeasurer
from vascodb.pipeline.runs import add_images, open_run
from vascodb.pipeline.selection import Selected
from vascodb.profiles import Profile

__all__ = ["RunReport", "Runner"]

# Stage functions that read look-ups, sources or plates themselves, not only what was matched: cheap, because they
# come when little is left.
_READ_BEYOND = {
    "earth_shadow", "edge", "halo", "high_pm", "moving", "persistence", "plate_centre", "plate_fit", "primary_plate",
    "ps1_southern_cut", "red_blue", "spike", "veto_at",
}  # fmt: skip
# The extraction of what was never extracted here.
IMPORTED = "imported"


@dataclass(frozen=True)
class RunReport:
    """What a run did.

    Parameters
    ----------
    run : str
        Its name.
    images : int
        Images in the run.
    joined : int
        Of these, how many joined it now.
    tied : int
        Images whose positions moved, because stars to tie them to came since.
    judged : int
        Images that were judged now, because they were new or stale.
    written : int
        Verdicts written.
    unknown : int
        Detections that are stopped because a look-up failed or something could not be measured.
    candidates : int
        Candidates of the run.
    sources : int
        Sources on the sky that these are, duplicates and repeated detections taken together.
    seconds : mapping
        Wall time of matching and of each stage that judged.
    warnings : sequence of str
        One line for each image that could not be measured.
    """

    run: str
    images: int
    joined: int
    tied: int
    judged: int
    written: int
    unknown: int
    candidates: int
    sources: int
    seconds: Mapping[str, float]
    warnings: Sequence[str]


@dataclass
class Runner:
    """One call of a run; it may be killed at any time and called again.

    Parameters
    ----------
    database : `Database`
        Where the images are.
    profile : `Profile`
        What to judge by.
    progress : callable, optional
        Called with a `StageProgress`; while matching, the stage is called ``match``.
    note : callable, optional
        Called with what is being done between.
    """

    database: Database
    profile: Profile
    progress: Callable[[StageProgress], None] = lambda _: None
    note: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self.warnings: list[str] = []

    def run(self, name: str, selected: Selected, from_stage: str | None = None) -> RunReport:
        """Let images join the run of that name, and judge those of its images that need it.

        Every image is matched anew first, because references may have come since; that takes microseconds
        per detection and writes only what changed. Where Gaia came since, positions are tied to it first, as
        they would have been at ingest. Then only stale images are judged: new ones, those whose matches
        changed, and all where a stage's SQL changed.

        Parameters
        ----------
        name : str
            The run; made if there is none.
        selected : `Selected`
            Images that join it; none for a run that goes on with those it has.
        from_stage : str, optional
            Judge the selected images, or all of the run's if none are, from this stage on, stale or not.

        Raises
        ------
        InputError
            If the run was made by other rules, has no images, or has no such stage.
        """
        if from_stage is not None and from_stage not in {stage.stage for stage in self.profile.stages}:
            names = ", ".join(stage.stage for stage in self.profile.stages)
            raise InputError(f"--from-stage {from_stage}: the stages are {names}")
        with self.database.connect() as connection:
            run_id = open_run(connection, name, self.profile)
            joined = add_images(connection, run_id, selected.extraction_ids)
            of_run = connection.scalars(
                text("SELECT extraction_id FROM vasco.run_image WHERE run_id = :run_id ORDER BY 1"), {"run_id": run_id}
            ).all()
            # Raised in here, so that the run is not made either.
            if not of_run:
                raise InputError(f"run {name!r} has no images yet; say which: --tiles, --plates, --plan or --all")
        images = list(selected.extraction_ids) or list(of_run)
        started = perf_counter()
        tied = self._match(images)
        seconds = {"match": perf_counter() - started}
        with self.database.connect() as connection:
            stale = connection.scalars(
                text("SELECT extraction_id FROM stage.stale_images(:run_id)"), {"run_id": run_id}
            ).all()
        judge = Judge(lambda: self._locked(run_id), run_id, self._measurers(), self.progress)
        wanted = sorted(set(stale) & set(images))
        if wanted:
            judge.judge(wanted)
        beyond = from_stage or self._first_that_reads_beyond()
        others = images if from_stage is not None else sorted(set(images) - set(wanted))
        if beyond is not None and others:
            judge.judge(others, beyond)
        judged = len(images if from_stage is not None else wanted)
        counts = {"images": len(of_run), "joined": joined, "tied": tied, "judged": judged}
        return self._report(run_id, name, counts, judge, seconds | judge.seconds)

    def _measurers(self) -> Mapping[str, Measurer]:
        if self.profile.extraction == IMPORTED:
            return {}  # Nobody here ever had the pixels of a release.
        psf = PsfMeasurer(self.database, self.profile, self.note, self.warnings.append)
        return pixel_measurers(self.profile, psf, psf, self.note, self.warnings.append)

    def _first_that_reads_beyond(self) -> str | None:
        """The first stage that reads what no revision of an image counts; it and what follows are judged each time."""
        return next((s.stage for s in self.profile.stages if s.function_name in _READ_BEYOND), None)

    @contextmanager
    def _locked(self, run_id: int) -> Iterator[Connection]:
        """A transaction that no other process judges the same run beside."""
        with self.database.connect() as connection:
            advisory_lock(connection, f"run {run_id}")
            yield connection

    def _match(self, images: Sequence[int]) -> int:
        """Match images; how many of them were tied to other stars, so that their positions moved."""
        with self.database.connect() as connection:
            known = connection.scalar(text("SELECT count(*) FROM ref.known_catalogs()"))
        # Of a release only what is known anyway can say more than the release itself.
        families = [] if self.profile.extraction == IMPORTED else self.profile.families
        tied = 0
        if not known and not families:
            return tied
        images = [*images, *self._compared_with(images)]
        for done, extraction_id in enumerate(images):
            self.progress(StageProgress("match", 0, len(self.profile.stages), done, len(images)))
            with self.database.connect() as connection:
                advisory_lock(connection, f"extraction {extraction_id}")
                tied += match_image_anew(connection, extraction_id, families)
        return tied

    def _compared_with(self, images: Sequence[int]) -> Sequence[int]:
        """Images of blue plates that a stage compares these with: in no run, but tied to the same stars."""
        if not any(stage.function_name == "red_blue" for stage in self.profile.stages):
            return ()
        with self.database.connect() as connection:
            return connection.scalars(
                text("""
                    SELECT DISTINCT b.extraction_id
                    FROM unnest(CAST(:images AS bigint[])) AS e
                    CROSS JOIN LATERAL stage.blue_images(e, false) AS b
                    ORDER BY 1
                """),
                {"images": list(images)},
            ).all()

    def _report(
        self, run_id: int, name: str, counts: Mapping[str, int], judge: Judge, seconds: Mapping[str, float]
    ) -> RunReport:
        with self._locked(run_id) as connection:
            connection.execute(text("SELECT stage.build_objects(:run_id)"), {"run_id": run_id})
            sources = connection.scalar(
                text("SELECT count(*) FROM vasco.object WHERE run_id = :run_id"), {"run_id": run_id}
            )
            candidates = connection.scalar(
                text("SELECT count(*) FROM api.candidates WHERE run_id = :run_id"), {"run_id": run_id}
            )
            unknown = connection.scalar(
                text("""
                    SELECT coalesce(sum(l.n_unknown), 0)
                    FROM vasco.run_ledger AS l
                    JOIN vasco.run_stage AS s USING (run_id, stage)
                    WHERE l.run_id = :run_id AND NOT stage.goes_on('unknown', s.tolerates)
                """),
                {"run_id": run_id},
            )
        return RunReport(
            run=name, **counts, written=judge.written, unknown=int(unknown or 0), candidates=int(candidates or 0),
            sources=int(sources or 0), seconds=seconds, warnings=tuple(self.warnings),
        )  # fmt: skip
