"""The verbs of runs: run and funnel."""

import json
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from sqlalchemy import text

from vascodb.cli.options import existing_path, output_options, report_format
from vascodb.cli.output import PlainConsole, Query, emit, print_sql, run_query
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.pipeline.judging import StageProgress
from vascodb.pipeline.running import Runner, RunReport
from vascodb.pipeline.selection import Selected, Selection, select_images
from vascodb.profiles import Profile, load_profile, profile_names
from vascodb.releases import release_extractions
from vascodb.settings import Settings

__all__ = ["COMMANDS"]

SOME_UNKNOWN = 3
# A release has no pixels; a profile's form for it takes what it measured as published.
RELEASE_FORM = "_release"

_FUNNEL = {
    "stage": """
SELECT run, ordinal, stage, sum(judged) AS judged, sum(passed) AS passed, sum(failed) AS failed,
    sum(unknown) AS unknown, sum(not_covered) AS not_covered, sum(remaining) AS remaining
FROM api.funnel
WHERE run = :run
GROUP BY run, ordinal, stage
ORDER BY ordinal
""",
    "plate": """
SELECT run, plate_id, ordinal, stage, sum(judged) AS judged, sum(passed) AS passed, sum(failed) AS failed,
    sum(unknown) AS unknown, sum(not_covered) AS not_covered, sum(remaining) AS remaining
FROM api.funnel
WHERE run = :run
GROUP BY run, plate_id, ordinal, stage
ORDER BY plate_id, ordinal
""",
    "tile": """
SELECT run, tile_id, plate_id, ordinal, stage, judged, passed, failed, unknown, not_covered, remaining
FROM api.funnel
WHERE run = :run
ORDER BY tile_id, plate_id, extraction_id, ordinal
""",
}
_DIFF = """
SELECT src_id, plate_id, candidate_before, stage_before, outcome_before, reason_before, candidate_after, stage_after,
    outcome_after, reason_after
FROM api.run_diff(:run, :other)
ORDER BY src_id
"""


def _names(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    """Names, separated by commas or given one by one; @FILE has one on each line."""
    names: list[str] = []
    for value in values:
        if value.startswith("@"):
            try:
                lines = Path(value[1:]).read_text(encoding="utf-8").split()
            except (OSError, UnicodeDecodeError) as error:
                raise InputError(f"{value[1:]}: cannot be read as a list of names: {error}") from error
            names += lines
        else:
            names += [name.strip() for name in value.split(",") if name.strip()]
    return tuple(dict.fromkeys(names))


@click.command("run", epilog="Example: vascodb run survey --profile vasco60 --all")
@click.argument("name")
@click.option(
    "--profile", "profile_name", metavar="NAME", help="Profile to judge by.  [default: the run's own, or default]"
)
@click.option(
    "--tiles", multiple=True, callback=_names, metavar="NAMES", help="Tiles, by commas; @FILE has one a line."
)
@click.option("--plates", multiple=True, callback=_names, metavar="NAMES", help="Plates, by the images' true REGION.")
@click.option("--plan", type=existing_path, metavar="FILE", help="The tiles of a plan that are ingested.")
@click.option("--release", metavar="NAME", help="An imported release, by the profile's form for releases.")
@click.option("--all", "everything", is_flag=True, help="Every ingested image.")
@click.option("--from-stage", metavar="STAGE", help="Judge from this stage on, also what is judged already.")
@click.option(
    "--set", "changes", multiple=True, metavar="STAGE.PARAMETER=VALUE", help="Another value of a parameter; repeatable."
)
@report_format("Form of the report.")
@click.option("--progress/--no-progress", default=None, help="Show how far it is; by default on a terminal.")
def run_command(
    name: str,
    profile_name: str | None,
    tiles: tuple[str, ...],
    plates: tuple[str, ...],
    plan: Path | None,
    release: str | None,
    everything: bool,
    from_stage: str | None,
    changes: tuple[str, ...],
    kind: str,
    progress: bool | None,
) -> int:
    """Judge images by a profile, as a run with a name.

    NAME is the run. Images join it as they come, and only what is new or stale is judged; the rules of a run never
    change. It may be stopped at any time and called again. Without a selection it goes on with the images it has.
    """
    database = Database(Settings())
    selection = Selection(tiles, plates, plan, everything)
    if release is not None and not selection.is_empty:
        raise InputError("a release is judged by itself; leave out --tiles, --plates, --plan and --all")
    profile = _profile(database, name, profile_name, of_release=release is not None).setting(changes)
    with database.connect() as connection:
        if release is not None:
            selected = Selected(tuple(release_extractions(connection, release)))
        else:
            selected = Selected(()) if selection.is_empty else select_images(connection, selection, profile.extraction)
    console = Console(stderr=True)
    shown = console.is_terminal if progress is None else progress
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True, disable=not shown) as bar:
        task = bar.add_task(name, total=None)

        def report(at: StageProgress) -> None:
            what = f"{name}: {at.stage}" + (f" ({at.place} of {at.n_stages})" if at.place else "")
            bar.update(task, description=what, total=at.n_images, completed=at.done)

        runner = Runner(database, profile, report)
        done = runner.run(name, selected, from_stage)
    if kind == "json":
        click.echo(json.dumps(asdict(done)))
    else:
        _print_report(database, done, selected)
    return SOME_UNKNOWN if done.unknown else 0


def _profile(database: Database, name: str, profile_name: str | None, *, of_release: bool) -> Profile:
    """The profile that is asked for, or the run's own where there is one."""
    if profile_name is None:
        with database.connect() as connection:
            stored = connection.scalar(text("SELECT parameters FROM vasco.run WHERE run = :run"), {"run": name})
        if stored is not None:
            return Profile.model_validate(stored)
    wanted = profile_name or "default"
    if of_release and not wanted.endswith(RELEASE_FORM):
        forms = [p.removesuffix(RELEASE_FORM) for p in profile_names() if p.endswith(RELEASE_FORM)]
        if wanted not in forms:
            raise InputError(f"profile {wanted!r} has no form for releases; there are: {', '.join(forms)}")
        wanted += RELEASE_FORM
    return load_profile(wanted)


def _print_report(database: Database, done: RunReport, selected: Selected) -> None:
    console = PlainConsole(120)
    console.print(f"[bold]{escape(done.run)}[/]: {done.images} images, {done.joined} new, {done.judged} judged now")
    if selected.not_ingested:
        console.print(f"{selected.not_ingested} tiles of the plan are not ingested yet")
    if done.tied:
        console.print(f"{done.tied} of them were tied to stars of Gaia that came since; their positions moved")
    with database.connect() as connection:
        rows = run_query(connection, Query(_FUNNEL["stage"], {"run": done.run}, "api.funnel"))
    view = Table(
        "stage", "judged", "pass", "fail", "unknown", "not covered", "left", "s", box=None, header_style="bold"
    )
    for column in view.columns[1:]:
        column.justify = "right"
    for row in rows:
        counts = [f"{int(row[c]):,}" for c in ("judged", "passed", "failed", "unknown", "not_covered", "remaining")]
        took = done.seconds.get(row["stage"])
        view.add_row(row["stage"], *counts, "" if took is None else f"{took:.2f}")
    console.print(view)
    for line in done.warnings:
        console.print(f"warning: {line}", style="yellow", markup=False)
    console.print(f"[bold]{done.candidates:,} candidates[/], {done.sources:,} sources on the sky")
    total = sum(done.seconds.values())
    console.print(f"{done.written:,} verdicts written, {total:.2f} s (match {done.seconds['match']:.2f})", style="dim")


@click.command(epilog="Example: vascodb funnel survey --by plate --format csv -o funnel.csv")
@click.argument("run")
@click.option("--by", type=click.Choice(list(_FUNNEL)), default="stage", show_default=True, help="What a row is for.")
@click.option("--diff", "other", metavar="RUN", help="Instead, detections whose fate is another one in that run.")
@output_options
def funnel(run: str, by: str, other: str | None, kind: str, output: Path | None, show_sql: bool) -> None:
    """Show what each stage of a run let through.

    RUN is its name. Every number is counted from the verdicts. With --diff the detections are listed that another run
    treats otherwise, with the stage that stopped them and its reason in each.
    """
    if other is None:
        query = Query(_FUNNEL[by], {"run": run}, "api.funnel")
    else:
        query = Query(_DIFF, {"run": run, "other": other}, "api.fates")
    if show_sql:
        print_sql(query)
        return
    with Database(Settings()).connect() as connection:
        runs = connection.scalars(text("SELECT run FROM vasco.run ORDER BY run")).all()
        for name in filter(None, (run, other)):
            if name not in runs:
                raise InputError(f"no run {name!r}; there are: {', '.join(runs) or 'none yet'}")
        emit(run_query(connection, query), kind, output)


COMMANDS = (run_command, funnel)
