"""The verb that says which settings are in effect, and where each comes from."""

import json
import os
from typing import Any

import click
from rich.table import Table

from vascodb.cli.options import report_format
from vascodb.cli.output import PlainConsole
from vascodb.loaders.client.configured import Effective, effective
from vascodb.loaders.client.seed_environment import one_line
from vascodb.settings import Settings

__all__ = ["COMMANDS", "settings_in_effect"]


def settings_in_effect(settings: Settings) -> Effective:
    """The settings in effect; what takes something away from the result, or is unknown, is said on standard error."""
    found = effective(settings)
    for warning in found.warnings:
        click.echo(f"vascodb: warning: {warning}", err=True)
    return found


@click.command("settings", epilog="Example: vascodb settings --changed")
@click.option("--changed", is_flag=True, help="Only what is not as shipped.")
@report_format("Form of the report.")
def settings_command(changed: bool, kind: str) -> None:
    """Say which settings are in effect, and where each comes from.

    They are those that are shipped, changed by the settings file (VASCODB_SETTINGS, else settings.toml in
    VASCODB_HOME), changed by the environment. Variables of earlier pipelines (VASCO_...) are understood; each
    that is set is named with what became of it.
    """
    settings = Settings()
    found = settings_in_effect(settings)
    rows = {**_own(settings), **{key: (value, found.origin(key)) for key, value in found.values().items()}}
    if changed:
        rows = {key: (value, origin) for key, (value, origin) in rows.items() if origin != "default"}
    if kind == "json":
        document = {
            "settings": {key: {"value": value, "from": origin} for key, (value, origin) in rows.items()},
            "variables": {v.name: {"value": v.value, "effect": v.effect} for v in found.variables},
            "warnings": list(found.warnings),
        }
        click.echo(json.dumps(document, indent=1))
        return
    table = Table("setting", "value", "from", box=None, header_style="bold", pad_edge=False)
    for key, (value, origin) in rows.items():
        table.add_row(key, _shown(value), origin)
    console = PlainConsole(250)
    console.print(table)
    for variable in found.variables:
        console.print(f"{variable.name}={one_line(variable.value)}: {variable.effect}", markup=False)


def _own(settings: Settings) -> dict[str, tuple[Any, str]]:
    """What `Settings` holds; of the database's URL only that there is one, because it may have a password."""
    values = {
        "home": str(settings.home),
        "url": None if settings.url is None else "(set)",
        "settings": None if settings.settings_file is None else str(settings.settings_file),
    }
    variables = {key: f"VASCODB_{key.upper()}" for key in values}
    return {
        key: (value, variables[key] if os.environ.get(variables[key]) else "default")
        for key, value in values.items()
        if value is not None
    }


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


COMMANDS = (settings_command,)
