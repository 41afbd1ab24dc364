"""Runs: a profile with its parameters, applied to extractions."""

from sqlalchemy import Connection, text

from vascodb import __version__
from vascodb.ids import canonical_json, content_id
from vascodb.profiles import Profile

__all__ = ["ensure_run", "judge"]


def ensure_run(connection: Connection, profile: Profile) -> int:
    """The standing run of a profile, to which tiles are added as they come; returns its id.

    A profile with changed parameters is another run, with a name that says so: verdicts under
    different rules are never mixed.
    """
    parameters = profile.model_dump(mode="json")
    run_id = content_id("run", profile.name, parameters)
    taken = connection.scalar(
        text("SELECT 1 FROM vasco.run WHERE run = :name AND run_id <> :run_id"),
        {"name": profile.name, "run_id": run_id},
    )
    connection.execute(
        text("""
            INSERT INTO vasco.run (run_id, run, profile, parameters, code_version)
            VALUES (:run_id, :run, :profile, :parameters, :code_version)
            ON CONFLICT (run_id) DO NOTHING
        """),
        {
            "run_id": run_id,
            "run": f"{profile.name}@{run_id:016x}" if taken else profile.name,
            "profile": profile.name,
            "parameters": canonical_json(parameters),
            "code_version": __version__,
        },
    )
    for ordinal, stage in enumerate(profile.stages, start=1):
        connection.execute(
            text("""
                INSERT INTO vasco.run_stage (run_id, ordinal, stage, step, function, parameters)
                VALUES (:run_id, :ordinal, :stage, :step, :function, :parameters)
                ON CONFLICT (run_id, stage) DO NOTHING
            """),
            {
                "run_id": run_id,
                "ordinal": ordinal,
                "stage": stage.stage,
                "step": stage.step,
                "function": stage.function_name,
                "parameters": canonical_json(stage.parameters),
            },
        )
    return run_id


def judge(connection: Connection, run_id: int, extraction_id: int) -> int:
    """Judge one extraction by all stages of a run, in order; returns the number of verdicts written."""
    connection.execute(
        text("""
            INSERT INTO vasco.run_image (run_id, extraction_id)
            VALUES (:run_id, :extraction_id)
            ON CONFLICT (run_id, extraction_id) DO NOTHING
        """),
        {"run_id": run_id, "extraction_id": extraction_id},
    )
    stages = connection.scalars(
        text("SELECT stage FROM vasco.run_stage WHERE run_id = :run_id ORDER BY ordinal"), {"run_id": run_id}
    ).all()
    written = 0
    for stage in stages:
        written += connection.scalar(
            text("SELECT stage.apply(:run_id, :stage, ARRAY[CAST(:extraction_id AS bigint)])"),
            {"run_id": run_id, "stage": stage, "extraction_id": extraction_id},
        )
    return written
