"""Runs: a profile with its parameters, applied to extractions under a name."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import Connection, text

from vascodb import __version__
from vascodb.errors import InputError
from vascodb.ids import canonical_json, content_id
from vascodb.profiles import Profile

__all__ = ["add_images", "ensure_run", "open_run"]


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
    _store(connection, run_id, f"{profile.name}@{run_id:016x}" if taken else profile.name, profile)
    return run_id


def open_run(connection: Connection, name: str, profile: Profile) -> int:
    """The run of that name, made if there is none; returns its id.

    Parameters
    ----------
    connection : `~sqlalchemy.Connection`
        In a transaction.
    name : str
        What the user calls it.
    profile : `Profile`
        With the parameters that all of its verdicts are made by.

    Raises
    ------
    InputError
        If the run was made by another profile or with other parameters; the message says which differ.
    """
    parameters = profile.model_dump(mode="json")
    stored = connection.execute(
        text("SELECT run_id, parameters FROM vasco.run WHERE run = :name"), {"name": name}
    ).first()
    if stored is None:
        run_id = content_id("run", name, parameters)
        _store(connection, run_id, name, profile)
        return run_id
    if stored.parameters != parameters:
        raise InputError(
            f"run {name!r} was made with other parameters ({_difference(stored.parameters, parameters)}); "
            "give this one another name"
        )
    return int(stored.run_id)


def add_images(connection: Connection, run_id: int, extraction_ids: Iterable[int]) -> int:
    """Let images join a run; returns how many were not in it yet."""
    added = connection.execute(
        text("""
            INSERT INTO vasco.run_image (run_id, extraction_id)
            SELECT :run_id, e FROM unnest(CAST(:extraction_ids AS bigint[])) AS e
            ON CONFLICT (run_id, extraction_id) DO NOTHING
        """),
        {"run_id": run_id, "extraction_ids": list(extraction_ids)},
    )
    return added.rowcount


def _store(connection: Connection, run_id: int, name: str, profile: Profile) -> None:
    connection.execute(
        text("""
            INSERT INTO vasco.run (run_id, run, profile, parameters, code_version)
            VALUES (:run_id, :run, :profile, :parameters, :code_version)
            ON CONFLICT (run_id) DO NOTHING
        """),
        {
            "run_id": run_id,
            "run": name,
            "profile": profile.name,
            "parameters": canonical_json(profile.model_dump(mode="json")),
            "code_version": __version__,
        },
    )
    connection.execute(
        text("""
            INSERT INTO vasco.run_stage (run_id, ordinal, stage, step, function, parameters, tolerates, scope)
            VALUES (
                :run_id, :ordinal, :stage, :step, :function, :parameters, CAST(:tolerates AS vasco.outcome[]), :scope
            )
            ON CONFLICT (run_id, stage) DO NOTHING
        """),
        [
            {
                "run_id": run_id,
                "ordinal": ordinal,
                "stage": stage.stage,
                "step": stage.step,
                "function": stage.function_name,
                "parameters": canonical_json(stage.parameters),
                "tolerates": list(stage.tolerates),
                "scope": stage.scope,
            }
            for ordinal, stage in enumerate(profile.stages, start=1)
        ],
    )


def _difference(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> str:
    """The first thing in which two profiles differ, in words."""
    if stored["name"] != wanted["name"]:
        return f"profile {stored['name']}, not {wanted['name']}"
    before, now = ({stage["stage"]: stage for stage in profile["stages"]} for profile in (stored, wanted))
    for name in [*before, *now]:
        if name not in now or name not in before:
            return f"stage {name} is {'missing' if name in before else 'new'}"
        old, new = before[name]["parameters"], now[name]["parameters"]
        for key in [*old, *new]:
            if old.get(key) != new.get(key):
                return f"{name}.{key} was {canonical_json(old.get(key))}, not {canonical_json(new.get(key))}"
        if before[name] != now[name]:
            return f"stage {name} has another place or tolerance"
    return "stages in another order" if list(before) != list(now) else "another extraction"
