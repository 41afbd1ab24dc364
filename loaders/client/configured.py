"""Settings in effect: what is shipped, what the user's settings file changes, and what the environment changes."""

import json
import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from vascodb.errors import InputError
from vascodb.loaders.client.seed_environment import Sets, VariableOutcome, one_line, outcome_of, variables_set
from vascodb.loaders.client.services import ServiceSettings, default_services
from vascodb.loaders.registry import CanaryPosition, CatalogDefinition, catalog, catalogs
from vascodb.settings import Settings

__all__ = [
    "BulkSettings",
    "CatalogSettings",
    "Configuration",
    "Effective",
    "FetchSettings",
    "effective",
    "effective_settings",
    "load_catalog",
    "load_services",
]

_STRICT = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class CatalogSettings(BaseModel):
    """What is changed about one catalogue.

    Parameters
    ----------
    via : str or None
        Service that is asked first.
    table : str or None
        Table that is asked for there.
    canary : `CanaryPosition` or None
        Circle in which the catalogue surely has a source.
    attempts, first_byte_timeout_s, total_timeout_s, max_radius_deg
        For this catalogue, instead of the service's; see `ServiceSettings`.
    """

    model_config = _STRICT

    via: str | None = None
    table: str | None = Field(default=None, pattern=r"^[A-Za-z][\w./+-]*$")
    canary: CanaryPosition | None = None
    attempts: int | None = Field(default=None, ge=1, le=1000)
    first_byte_timeout_s: float | None = Field(default=None, gt=0, le=86_400)
    total_timeout_s: float | None = Field(default=None, gt=0, le=604_800)
    max_radius_deg: float | None = Field(default=None, gt=0, le=90)


class BulkSettings(BaseModel):
    """Folders of local copies of whole catalogues, in HEALPix partitions of Parquet files."""

    model_config = _STRICT

    gaia: Path | None = None
    ps1: Path | None = None
    usnob: Path | None = None


class FetchSettings(BaseModel):
    """How fetches are done.

    Parameters
    ----------
    workers : int or None
        Questions under way at once; by default as many as the service bears.
    offline : bool
        Ask no service at all.
    again : tuple of str
        Families of catalogues that are asked for even where they are known.
    without : tuple of str
        Families that are neither fetched nor required.
    images : `~pathlib.Path` or None
        Folder of downloaded images; by default the one in the home folder.
    images_again : bool
        Download images even where they are known.
    """

    model_config = _STRICT

    workers: int | None = Field(default=None, ge=1, le=32)
    offline: bool = False
    again: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    images: Path | None = None
    images_again: bool = False


class Configuration(BaseModel):
    """The whole settings file, with all that it leaves out filled in.

    Parameters
    ----------
    services : dict
        The services by name.
    catalogs : dict
        Changes of catalogues by name.
    families : dict
        Catalogue that is meant where only its family is named.
    bulk : `BulkSettings`
        Local copies.
    fetch : `FetchSettings`
        How fetches are done.
    """

    model_config = _STRICT

    services: dict[str, ServiceSettings]
    catalogs: dict[str, CatalogSettings] = {}
    families: dict[str, str] = {}
    bulk: BulkSettings = BulkSettings()
    fetch: FetchSettings = FetchSettings()


_TABLES: dict[str, type[BaseModel]] = {
    "services": ServiceSettings,
    "catalogs": CatalogSettings,
    "bulk": BulkSettings,
    "fetch": FetchSettings,
}


@dataclass(frozen=True)
class Effective:
    """Settings in effect, and where those come from that are not as shipped.

    Parameters
    ----------
    configuration : `Configuration`
        The settings.
    origins : mapping
        File or variable that set a key, such as ``services.vizier_tap.attempts``.
    variables : tuple of `VariableOutcome`
        Every variable of the environment that concerns vascodb, and what became of it.
    settings_file : `~pathlib.Path` or None
        The settings file in use.
    settings_sha256 : str or None
        SHA-256 of its content.
    """

    configuration: Configuration
    origins: Mapping[str, str]
    variables: tuple[VariableOutcome, ...]
    settings_file: Path | None
    settings_sha256: str | None

    @property
    def warnings(self) -> tuple[str, ...]:
        """What a user must be told: one line each."""
        told = [f"{v.name}={one_line(v.value)}: {v.effect}" for v in self.variables if v.must_be_told]
        for family in self.configuration.fetch.without:
            origin = self.origins.get("fetch.without", "")
            if not origin.startswith("VASCO_"):
                told.append(f"{origin}: {family} is neither fetched nor required")
        return tuple(told)

    def values(self) -> dict[str, Any]:
        """Every setting that has a value, by its key; JSON-able, passwords in addresses hidden."""
        return {key: _without_passwords(value) for key, value in _flat(_plain(self.configuration)).items()}

    def origin(self, key: str) -> str:
        """Where a setting comes from: ``default``, a file, or a variable."""
        return self.origins.get(key, "default")

    def require_network(self) -> None:
        """Refuse to go on where the user wants no service asked.

        Raises
        ------
        InputError
            If ``fetch.offline`` is set.
        """
        if self.configuration.fetch.offline:
            raise InputError(f"nothing is asked of any service, because of {self.origin('fetch.offline')}")


def effective(settings: Settings, environment: Mapping[str, str] | None = None) -> Effective:
    """Work out the settings in effect: shipped ones, then the settings file, then the environment.

    Parameters
    ----------
    settings : `~vascodb.settings.Settings`
        Says where the settings file is.
    environment : mapping, optional
        Variables; by default the process's own.

    Raises
    ------
    InputError
        If a key is unknown or a value wrong: one line with file or variable, key and reason.
    """
    nested: dict[str, Any] = {"services": {name: _plain(entry) for name, entry in default_services().items()}}
    origins: dict[str, str] = {}
    configuration = Configuration.model_validate(nested)
    path, content = settings.settings_file, None
    if path is not None:
        content, changes = _read_file(path)
        nested = _merged(nested, _absolute(changes, path.parent))
        configuration = _validated(nested, str(path))
        origins |= dict.fromkeys(_flat(changes), str(path))
    variables: list[VariableOutcome] = []
    environment = os.environ if environment is None else environment
    for name in variables_set(environment):
        outcome = outcome_of(name, environment, _flat(_plain(configuration)))
        if outcome.sets:
            nested = _merged(nested, _absolute(_nested(outcome.sets), Path.cwd()))
            configuration = _validated(nested, f"{outcome.name}={one_line(outcome.value)}")
            origins |= dict.fromkeys(outcome.sets, outcome.name)
        variables.append(outcome)
    return Effective(
        configuration,
        {key: origin for key, origin in origins.items() if key in _flat(_plain(configuration))},
        tuple(variables),
        path,
        None if content is None else sha256(content).hexdigest(),
    )


def load_services(settings: Settings, catalog_name: str | None = None) -> dict[str, ServiceSettings]:
    """The services as they are to be asked.

    Parameters
    ----------
    settings : `~vascodb.settings.Settings`
        See `effective`.
    catalog_name : str, optional
        Catalogue that they are asked for; what is set for it alone is put in.

    Raises
    ------
    InputError
        See `effective`.
    """
    configuration = effective(settings).configuration
    own = configuration.catalogs.get(catalog_name or "", CatalogSettings())
    changes = own.model_dump(exclude={"via", "table", "canary"}, exclude_none=True)
    return {name: entry.model_copy(update=changes) for name, entry in configuration.services.items()}


def load_catalog(settings: Settings, name: str) -> CatalogDefinition:
    """The catalogue of that name, or the one to use of a family of that name, as the settings change it.

    Parameters
    ----------
    settings : `~vascodb.settings.Settings`
        See `effective`.
    name : str
        Catalogue or family.

    Raises
    ------
    InputError
        If there is none; or see `effective`.
    """
    configuration = effective(settings).configuration
    definition = catalog(configuration.families.get(name, name))
    own = configuration.catalogs.get(definition.name, CatalogSettings())
    via = dict(definition.via)
    if own.via is not None:
        via = {own.via: via[own.via]} | via
    if own.table is not None:
        first = next(iter(via))
        via[first] = via[first].model_copy(update={"table": own.table})
    return definition.model_copy(update={"via": via, "canary": own.canary or definition.canary})


def effective_settings(settings: Settings) -> dict[str, Any]:
    """What is not as shipped, for the record of what a look-up or a run did.

    Parameters
    ----------
    settings : `~vascodb.settings.Settings`
        See `effective`.

    Returns
    -------
    dict
        JSON-able: ``changed`` (key to value and origin), ``variables`` (name to value and effect),
        ``settings_file`` and ``settings_sha256``.
    """
    found = effective(settings)
    values = found.values()
    return {
        "changed": {key: {"value": values[key], "from": origin} for key, origin in sorted(found.origins.items())},
        "variables": {
            v.name: {"value": _without_passwords(v.value), "effect": _without_passwords(v.effect)}
            for v in found.variables
        },
        "settings_file": None if found.settings_file is None else str(found.settings_file),
        "settings_sha256": found.settings_sha256,
    }


def _read_file(path: Path) -> tuple[bytes, dict[str, Any]]:
    try:
        content = path.read_bytes()
        # Through JSON, so that dates and the like are texts, which no setting takes for a number.
        return content, json.loads(json.dumps(tomllib.loads(content.decode("utf-8")), default=str))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is not a text in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{path}: is not TOML: {' '.join(str(error).split())}") from error


def _validated(nested: Mapping[str, Any], origin: str) -> Configuration:
    """The settings as they would be; what is wrong with them was brought by ``origin``."""
    for key, known in (("services", default_services()), ("catalogs", catalogs())):
        if isinstance(nested.get(key), dict) and (unknown := nested[key].keys() - known.keys()):
            raise InputError(f"{origin}: {key}.{min(unknown)}: unknown; there are: {', '.join(sorted(known))}")
    try:
        configuration = Configuration.model_validate_json(json.dumps(nested), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(f"{origin}: {'.'.join(map(str, first['loc']))}: {_reason(first)}") from error
    for key, reason in _contradictions(configuration):
        raise InputError(f"{origin}: {key}: {one_line(reason, 1000)}")
    return configuration


def _reason(error: Any) -> str:
    if error["type"] == "missing":
        return "is missing"
    if error["type"] == "extra_forbidden":
        place = error["loc"][:-1]
        table = CanaryPosition if "canary" in place else _TABLES.get(place[0] if place else "", Configuration)
        return f"unknown key; there are: {', '.join(table.model_fields)}"
    return f"{error['msg'][:1].lower()}{error['msg'][1:]}, not {error['input']!r:.80}"


def _contradictions(configuration: Configuration) -> Iterator[tuple[str, str]]:
    """Settings that are well formed and still cannot be meant: key and reason."""
    for name, entry in configuration.services.items():
        shipped = default_services()[name]
        if entry.row_cap > shipped.row_cap and entry.endpoints == shipped.endpoints:
            yield (
                f"services.{name}.row_cap",
                f"it can only be lowered from {shipped.row_cap}; with more, a cut answer could pass for a whole one",
            )
    for name, own in configuration.catalogs.items():
        services = ", ".join(catalogs()[name].via) or "none"
        if own.via is not None and own.via not in catalogs()[name].via:
            yield f"catalogs.{name}.via", f"no service {own.via!r} has this catalogue; there are: {services}"
        if own.table is not None and not catalogs()[name].via:
            yield f"catalogs.{name}.table", "no service has this catalogue"
    for name, path in configuration.bulk:
        if path is not None and not _is_folder(path):
            yield f"bulk.{name}", f"{path} is not a folder"
    yield from _unknown_families(configuration)


def _unknown_families(configuration: Configuration) -> Iterator[tuple[str, str]]:
    members: dict[str, list[str]] = {}
    for definition in catalogs().values():
        members.setdefault(definition.family, []).append(definition.name)
    for family, name in configuration.families.items():
        if name not in members.get(family, []):
            yield f"families.{family}", f"{name!r} is none of: {', '.join(members.get(family, [])) or 'none'}"
    for key in ("again", "without"):
        for family in getattr(configuration.fetch, key):
            if family not in members:
                yield f"fetch.{key}", f"no family {family!r}; there are: {', '.join(sorted(members))}"


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:
        return False


def _home_filled_in(path: str) -> Path:
    try:
        return Path(path).expanduser()
    except RuntimeError:
        # Nobody of that name has a home; then it is a folder that is called so.
        return Path(path)


def _absolute(changes: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Changes with all folders absolute: in a settings file they are relative to it."""
    places = [("bulk", name) for name in BulkSettings.model_fields] + [("fetch", "images")]
    made = {
        table: {name: str(folder / _home_filled_in(changes[table][name]))}
        for table, name in places
        if isinstance(changes.get(table), dict) and isinstance(changes[table].get(name), str)
    }
    return _merged(changes, made)


def _plain(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude_none=True)


def _merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(below)
    for key, value in above.items():
        both_are_tables = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both_are_tables else value
    return merged


def _flat(nested: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        flat |= _flat(value, f"{before}{key}.") if isinstance(value, dict) else {f"{before}{key}": value}
    return flat


def _nested(sets: Sets) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for key, value in sets.items():
        *tables, name = key.split(".")
        table = nested
        for part in tables:
            table = table.setdefault(part, {})
        table[name] = value
    return nested


def _without_passwords(value: Any) -> Any:
    if isinstance(value, list):
        return [_without_passwords(each) for each in value]
    return re.sub(r"(://[^/\s:@]*):[^/\s@]*@", r"\1:…@", value) if isinstance(value, str) else value
