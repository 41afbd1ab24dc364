"""Verbs that ask: candidates and explain."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.markup import escape
from rich.table import Table
from sqlalchemy import text

from vascodb.cli.options import output_options, report_format
from vascodb.cli.output import PlainConsole, Query, emit, print_sql, run_query
from vascodb.db import Database
from vascodb.errors import InputError
from vascodb.pipeline.explain import Explanation, explain
from vascodb.settings import Settings

__all__ = ["COMMANDS"]

_CANDIDATES = """
SELECT src_id, run, plate_id, ra, dec, mag_auto, snr_win, fwhm_arcsec, elongation, spread_model, epoch_jyear
FROM api.candidates
WHERE (run = :run OR :run = '') AND (tile_id = :tile OR :tile = '')
ORDER BY run, ra, dec
"""


@click.command(epilog="Example: vascodb candidates default --format ecsv -o candidates.ecsv")
@click.argument("run", required=False, default="")
@click.option("--tile", default="", metavar="TILE_ID", help="Only those of this tile.")
@output_options
def candidates(run: str, tile: str, kind: str, output: Path | None, show_sql: bool) -> None:
    """List the detections that passed every stage of a run.

    RUN is its name, by default the profile's. Without it the candidates of all runs are listed.
    """
    query = Query(_CANDIDATES, {"run": run, "tile": tile}, "api.candidates")
    if show_sql:
        print_sql(query)
        return
    with Database(Settings()).connect() as connection:
        if run and not connection.scalar(text("SELECT 1 FROM vasco.run WHERE run = :run"), {"run": run}):
            runs = connection.scalars(text("SELECT run FROM vasco.run ORDER BY run")).all()
            raise InputError(f"no run {run!r}; there are: {', '.join(runs) or 'none yet'}")
        emit(run_query(connection, query), kind, output)


@click.command("explain", epilog="Example: vascodb explain tile_RA132.850_DECp11.800:562")
@click.argument("src_id")
@report_format("Form of the answer.")
def explain_command(src_id: str, kind: str) -> None:
    """Tell the whole story of one detection.

    SRC_ID is TILE_ID:NUMBER, as candidates prints it. Shown are every catalogue's nearest source, its distance at the
    plate's epoch and at its own, the look-up that covers the position or the one that failed there, moving objects that
    passed by, and every gate's value and limit.
    """
    with Database(Settings()).connect() as connection:
        found = explain(connection, src_id)
    if kind == "json":
        click.echo(json.dumps([e.as_dict() for e in found], default=datetime.isoformat))
        return
    for explanation in found:
        _print_explanation(explanation)


def _print_explanation(e: Explanation) -> None:
    console = PlainConsole(140)
    d = e.detection
    console.print(f"[bold]{d['src_id']}[/] at {d['ra']:.6f}, {d['dec']:.6f}")
    console.print(
        f"plate {d['plate_id']}, epoch {_digits(d['epoch_jyear'], 4)}, pixel {_digits(d['xwin_image'], 2)}, "
        f"{_digits(d['ywin_image'], 2)}, MAG_AUTO {_digits(d['mag_auto'], 3)}, SNR_WIN {_digits(d['snr_win'], 1)}"
    )
    sources = Table(
        "catalogue", "state", "nearest source", "at plate epoch", "at its own", "mag", "pm mas/yr", "evidence",
        box=None, header_style="bold",
    )  # fmt: skip
    silent = [s for s in e.sources if s["state"] == "not_covered" and s["source_id"] is None and not s["failed_at"]]
    for s in (s for s in e.sources if s not in silent):
        motion = "" if s["pmra_masyr"] is None else f"{s['pmra_masyr']:.1f}, {s['pmdec_masyr']:.1f}"
        sources.add_row(
            s["catalog"], s["state"], escape(s["name"] or _text(s["source_id"])), _arcsec(s["sep_plate_epoch_arcsec"]),
            _arcsec(s["sep_catalog_epoch_arcsec"]), _text(s["mag"]), motion, escape(_evidence(s)),
        )  # fmt: skip
    console.print(sources)
    if silent:
        console.print(f"not covered by {', '.join(s['catalog'] for s in silent)}", style="dim")
    if e.moving:
        moving = Table(
            "moving object", "catalogue", "class", "V", "from its trail", "from its middle", "trail", "others",
            box=None, header_style="bold",
        )  # fmt: skip
        for m in e.moving:
            moving.add_row(
                escape(m["name"]), m["catalog"], escape(m["class"] or ""), _text(m["mag"]), _arcsec(m["sep_arcsec"]),
                _arcsec(m["sep_middle_arcsec"]), _arcsec(m["trail_arcsec"]), escape(m["others"] or ""),
            )  # fmt: skip
        console.print(moving)
    verdicts = Table("run", "stage", "outcome", "value", "parameters", "why not", box=None, header_style="bold")
    for v in e.verdicts:
        value = "" if v["value"] is None else f"{v['value']:.5g}"
        limits = ", ".join(f"{k} {x}" for k, x in v["parameters"].items())
        verdicts.add_row(v["run"], v["stage"], v["outcome"], value, limits, v["reason"] or "")
    console.print(verdicts)
    for run, is_candidate in e.is_candidate.items():
        console.print(f"run {run}: [bold]{'candidate' if is_candidate else 'no candidate'}[/]")


def _evidence(source: Mapping[str, Any]) -> str:
    """What a catalogue's state stands on: the look-up that covers the position, or why none does."""
    if source["state"] == "unknown" and source["failure"] is not None:
        return f"failed {_ago(source['failed_at'])}: {source['failure']}"
    if source["reason"] is not None and (source["state"] == "not_covered" or source["covered_by"] is None):
        return str(source["reason"])
    return "nothing" if source["covered_by"] is None else f"{source['covered_by']}, {_ago(source['covered_at'])}"


def _ago(when: datetime) -> str:
    days = (datetime.now(UTC) - when).total_seconds() / 86400
    return f"{days:.1f} d ago" if days >= 1 else f"{24 * days:.1f} h ago"


def _text(value: Any) -> str:
    return "" if value is None else str(value)


def _digits(value: float | None, digits: int) -> str:
    # Of a detection that a release published little is known.
    return "unknown" if value is None else f"{value:.{digits}f}"


def _arcsec(value: float | None) -> str:
    return "none in 10′" if value is None else f"{value:.3f}″"


COMMANDS = (candidates, explain_command)
