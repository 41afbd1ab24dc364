"""Environment variables of the pipelines that came before: what each sets here, or why it sets nothing."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from vascodb.errors import InputError
from vascodb.loaders.registry import catalogs

__all__ = ["SEED_VARIABLES", "SeedVariable", "Sets", "VariableOutcome", "one_line", "outcome_of", "variables_set"]

Sets = dict[str, Any]
"""Settings by key, such as ``services.cds_xmatch.attempts``."""

_OURS = {"VASCODB_HOME", "VASCODB_URL", "VASCODB_SETTINGS"}
_TRUE, _FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off")


@dataclass(frozen=True)
class Situation:
    """What a variable's meaning may depend on.

    Parameters
    ----------
    environment : mapping
        All variables.
    current : mapping
        The settings so far, by key.
    """

    environment: Mapping[str, str]
    current: Mapping[str, Any]


@dataclass(frozen=True)
class SeedVariable:
    """One variable.

    Parameters
    ----------
    meaning : str
        What it does here, or why nothing.
    convert : callable or None
        Makes settings of its value; `ValueError` says what is wrong with it. None: it does nothing.
    must_be_told : bool
        Whether users are told on every fetch, because it takes something away from the result.
    """

    meaning: str
    convert: Callable[[str, Situation], Sets] | None = None
    must_be_told: bool = False


@dataclass(frozen=True)
class VariableOutcome:
    """A variable that is set, and what became of it.

    Parameters
    ----------
    name, value : str
        The variable.
    effect : str
        What it does, in words.
    sets : dict
        Settings that it makes.
    must_be_told : bool
        Whether users are told on every fetch.
    """

    name: str
    value: str
    effect: str
    sets: Sets
    must_be_told: bool = False


def variables_set(environment: Mapping[str, str]) -> list[str]:
    """Names of the variables that concern vascodb and have a value, in the order in which they act."""
    ours = [name for name in sorted(environment) if re.match("VASCO(DB)?_", name) and name not in _OURS]
    return [name for name in dict.fromkeys([*SEED_VARIABLES, *ours]) if environment.get(name, "").strip()]


def outcome_of(name: str, environment: Mapping[str, str], current: Mapping[str, Any]) -> VariableOutcome:
    """What becomes of a variable.

    Parameters
    ----------
    name : str
        From `variables_set`.
    environment : mapping
        All variables.
    current : mapping
        The settings so far, by key.

    Raises
    ------
    InputError
        If the value is wrong: one line with variable, value and reason.
    """
    value = environment[name].strip()
    variable = SEED_VARIABLES.get(name)
    if variable is None:
        return VariableOutcome(name, value, "unknown variable; it does nothing", {}, must_be_told=True)
    if variable.convert is None:
        return VariableOutcome(name, value, variable.meaning, {})
    try:
        sets = variable.convert(value, Situation(environment, current))
    except ValueError as error:
        raise InputError(f"{name}={one_line(value)}: {error}") from error
    made = ", ".join(f"{key} = {_shown(new)}" for key, new in sets.items()) or "changes nothing"
    return VariableOutcome(name, value, f"{made} ({variable.meaning})", sets, variable.must_be_told and bool(sets))


def one_line(text: str, length: int = 200) -> str:
    """A text that anybody may have written, on one line and not too long; for messages."""
    return "".join(c if c.isprintable() else " " for c in text)[:length]


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _whole(value: str, low: int, high: int = 1_000_000_000) -> int:
    if not re.fullmatch(r"[+-]?\d{1,12}", value) or not low <= int(value) <= high:
        raise ValueError(f"is not a whole number from {low} to {high}")
    return int(value)


def _number(value: str, low: float = 0.0, high: float = 604_800.0) -> float:
    try:
        number = float(value) if "_" not in value else float("nan")
    except ValueError:
        number = float("nan")
    if not low <= number <= high:
        raise ValueError(f"is not a number from {low:g} to {high:g}")
    return number


def _flag(value: str) -> bool:
    if value.lower() not in _TRUE + _FALSE:
        raise ValueError(f"is none of {', '.join(_TRUE + _FALSE)}")
    return value.lower() in _TRUE


def _to(key: str, convert: Callable[[str], Any]) -> Callable[[str, Situation], Sets]:
    """One setting, made of the value alone."""
    return lambda value, _: {key: convert(value)}


def _if_set(key: str) -> Callable[[str, Situation], Sets]:
    """A setting that is switched on; switched off it leaves things as they are."""
    return lambda value, _: {key: True} if _flag(value) else {}


def _adds(key: str, family: str) -> Callable[[str, Situation], Sets]:
    """A family more in a list of families."""

    def convert(value: str, situation: Situation) -> Sets:
        if not _flag(value):
            return {}
        return {key: sorted({*situation.current.get(key, ()), family} & _families())}

    return convert


def _families() -> set[str]:
    return {definition.family for definition in catalogs().values()}


def _members(family: str) -> list[str]:
    return [definition.name for definition in catalogs().values() if definition.family == family]


def _of_each(family: str, key: str, convert: Callable[[str], Any]) -> Callable[[str, Situation], Sets]:
    """The same setting for each catalogue of a family."""
    return lambda value, _: dict.fromkeys((f"catalogs.{name}.{key}" for name in _members(family)), convert(value))


def _member(family: str) -> Callable[[str, Situation], Sets]:
    """The catalogue of a family that has a table of this name at some service."""

    def convert(value: str, _: Situation) -> Sets:
        tables = {
            binding.table.lower(): definition.name
            for definition in catalogs().values()
            for binding in definition.via.values()
            if definition.family == family
        }
        name = tables.get(value.lower().removeprefix("vizier:"))
        if name is None:
            raise ValueError(
                f"is no table of a catalogue of the family {family}; there are: {', '.join(sorted(tables)) or 'none'}"
            )
        return {f"families.{family}": name}

    return convert


def _mode(value: str, situation: Situation) -> Sets:
    if value not in ("single", "chunked"):
        raise ValueError("is none of single, chunked")
    if value == "single":
        return {_LIST_ROWS: situation.current["services.cds_xmatch.row_cap"]}
    return {_LIST_ROWS: 500}


def _chunk_rows(value: str, situation: Situation) -> Sets:
    n_rows = max(50, _whole(value, 1))
    return {} if situation.environment.get("VASCO_CDS_MODE") == "single" else {_LIST_ROWS: n_rows}


def _blocksize(value: str, situation: Situation) -> Sets:
    return {} if value == "omit" else {_LIST_ROWS: min(_whole(value, 1), situation.current[_LIST_ROWS])}


def _delay(value: str, situation: Situation) -> Sets:
    delay_s = _number(value)
    slowest = 1.0 / delay_s if delay_s else float("inf")
    now = situation.current[_PER_SECOND]
    return {_PER_SECOND: slowest} if slowest < now else {}


def _precall(value: str, situation: Situation) -> Sets:
    return _delay("10", situation) if _flag(value) else {}


def _widest_ps1(value: str, situation: Situation) -> Sets:
    radius_deg = _number(value, 0.001, 90.0)
    keys = [f"catalogs.{name}.max_radius_deg" for name in _members("ps1")]
    return {key: min(radius_deg, situation.current.get(key, radius_deg)) for key in keys}


def _stsci(value: str, _: Situation) -> Sets:
    if value.lower() != "stsci":
        raise ValueError("only stsci is asked for images; SkyView resamples the plates")
    return {}


def _address(value: str) -> list[str]:
    if not re.fullmatch(r"https?://[^\s/?#]+\S*", value):
        raise ValueError("is not an address such as https://irsa.ipac.caltech.edu/TAP")
    return [value.rstrip("/")]


def _retries(value: str) -> int:
    return _whole(value, 0, 999) + 1


_LIST_ROWS = "services.cds_xmatch.list_rows"
_PER_SECOND = "services.cds_xmatch.per_second"
_RETRIES = "attempts, one more than the retries"
_SPACING = "pause between queries; never shorter than the service's manners"
_PARTS = "widest cone asked for at once; a wider region is asked for in parts, so all of it is covered"
_CACHE = "folder of a local copy in HEALPix partitions"
_AGAIN = "asked for even where it is known"
_NO_STAGING = "does nothing: local copies are read straight into the database, without a staging folder"
_WITHOUT = "neither fetched nor required: candidates are not checked against it"


def _judged(parameter: str) -> SeedVariable:
    return SeedVariable(f"does nothing here: judging follows the profile, see its {parameter}")


def _does_nothing(why: str) -> SeedVariable:
    return SeedVariable(f"does nothing: {why}")


_POSITIONS_FILE = "the database holds the positions, and fetch-reference --candidates asks for those in question"
_WRAPPER = "it was for shell scripts that one command replaces"

SEED_VARIABLES: dict[str, SeedVariable] = {
    "VASCO_CDS_MODE": SeedVariable("positions in one X-Match list", _mode),
    "VASCO_CDS_CHUNK_ROWS": SeedVariable(
        "positions in one X-Match list, at least 50; not beside VASCO_CDS_MODE=single", _chunk_rows
    ),
    "VASCO_CDS_BLOCKSIZE": SeedVariable("positions in one X-Match list at most, or omit", _blocksize),
    "VASCO_CDS_MAX_RETRIES": SeedVariable(_RETRIES, _to("services.cds_xmatch.attempts", _retries)),
    "VASCO_CDS_BASE_BACKOFF": SeedVariable(
        "first pause after a failure, seconds; it doubles",
        _to("services.cds_xmatch.backoff_s", lambda value: _number(value, high=3600)),
    ),
    "VASCO_CDS_INTER_CHUNK_DELAY": SeedVariable(_SPACING, _delay),
    "VASCO_CDS_JITTER": SeedVariable(
        "longest random addition to a pause, seconds",
        _to("services.cds_xmatch.jitter_s", lambda value: _number(value, high=3600)),
    ),
    "VASCO_CDS_PRECALL_SLEEP": SeedVariable(f"10 s of {_SPACING}", _precall),
    "VASCO_CDS_GAIA_TABLE": SeedVariable("catalogue that the name gaia means", _member("gaia")),
    "VASCO_CDS_PS1_TABLE": SeedVariable("catalogue that the name ps1 means", _member("ps1")),
    "VASCO_DISABLE_PS1": SeedVariable(_WITHOUT, _adds("fetch.without", "ps1"), must_be_told=True),
    "VASCO_DISABLE_USNOB": SeedVariable(_WITHOUT, _adds("fetch.without", "usnob"), must_be_told=True),
    "VASCO_FORCE_FETCH_GAIA": SeedVariable(_AGAIN, _adds("fetch.again", "gaia")),
    "VASCO_FORCE_FETCH_PS1": SeedVariable(_AGAIN, _adds("fetch.again", "ps1")),
    "VASCO_FORCE_FETCH_USNOB": SeedVariable(_AGAIN, _adds("fetch.again", "usnob")),
    "VASCO_STEP4_NO_FETCH": SeedVariable("no service is asked", _if_set("fetch.offline"), must_be_told=True),
    "VASCO_PS1_RADIUS_DEG": SeedVariable(_PARTS, _widest_ps1),
    "VASCO_PS1_MAX_RADIUS_DEG": SeedVariable(_PARTS, _widest_ps1),
    "VASCO_PS1_ATTEMPTS": SeedVariable("attempts", _of_each("ps1", "attempts", lambda value: _whole(value, 1, 1000))),
    "VASCO_PS1_TIMEOUT": SeedVariable(
        "longest silence of the service, seconds",
        _of_each("ps1", "first_byte_timeout_s", lambda value: _number(value, 0.001, 86_400)),
    ),
    "VASCO_PS1_COLUMNS": _does_nothing(
        "the columns that are stored are those of the registry, docs/reference/catalogs.md"
    ),
    "VASCO_USNOB_ATTEMPTS": SeedVariable(
        "attempts", _of_each("usnob", "attempts", lambda value: _whole(value, 1, 1000))
    ),
    "VASCO_GAIA_CACHE": SeedVariable(_CACHE, _to("bulk.gaia", str)),
    "VASCO_PS1_CACHE": SeedVariable(_CACHE, _to("bulk.ps1", str)),
    "VASCO_USNOB_CACHE": SeedVariable(_CACHE, _to("bulk.usnob", str)),
    **{
        f"VASCO_{family}_{name}": SeedVariable(_NO_STAGING)
        for family in ("GAIA", "PS1", "USNOB")
        for name in ("STAGING", "CACHE_STAGING")
    },
    "VASCO_HP_INDEX_DIR": _does_nothing("which partitions there are is read from the folder itself"),
    "VASCO_IMAGE_SERVICE": SeedVariable("where images come from", _stsci),
    "VASCO_FORCE_DOWNLOAD": SeedVariable("images are downloaded again", _if_set("fetch.images_again")),
    "VASCO_TILES_ROOT": SeedVariable("folder of downloaded images", _to("fetch.images", str)),
    "VASCO_TILES_LAYOUT": _does_nothing("where an image is, is in the database, whatever folder that be"),
    "TAP_BASE": SeedVariable("IRSA's TAP service", _to("services.irsa_tap.endpoints", _address)),
    "MAX_ASYNC_RETRIES": SeedVariable(_RETRIES, _to("services.irsa_tap.attempts", _retries)),
    "BACKOFF_BASE": SeedVariable(
        "first pause after a failure, seconds",
        _to("services.irsa_tap.backoff_s", lambda value: _number(value, high=3600)),
    ),
    "BACKOFF_CAP": SeedVariable(
        "longest pause between attempts, seconds",
        _to("services.irsa_tap.max_backoff_s", lambda value: _number(value, high=86_400)),
    ),
    "JITTER_MAX": SeedVariable(
        "longest random addition to a pause, seconds",
        _to("services.irsa_tap.jitter_s", lambda value: _number(value, high=3600)),
    ),
    **{
        name: SeedVariable(
            "longest time for a job, seconds", _to("services.irsa_tap.total_timeout_s", lambda value: _number(value, 1))
        )
        for name in ("MAX_EXEC", "MAX_EXEC_SECS")
    },
    "SYNC_ON_FAIL": _does_nothing("a job that fails is asked for again, and one that was left is picked up"),
    "NEOWISE_YEARS": _does_nothing("all years of NEOWISE are in the one table that is asked"),
    "VASCO_CIRCLE_ARCMIN": _judged("stage circle, radius_arcmin"),
    **{
        f"VASCO_WCSFIX_{name}": _judged(f"stage wcsfix, {parameter}")
        for name, parameter in {
            "BOOTSTRAP_ARCSEC": "bootstrap_arcsec",
            "DEGREE": "degree",
            "MIN_MATCHES": "min_matches",
            "FORCE": "force",
            "FALLBACK": "fallback",
            "FALLBACK_BOOTSTRAP_ARCSEC": "fallback.bootstrap_arcsec",
            "FALLBACK_DEGREE": "fallback.degree",
            "FALLBACK_MIN_MATCHES": "fallback.min_matches",
        }.items()
    },
    "VASCO_SPIKES_ENGINE": _does_nothing("there is one way to compute the spike rule, a stage of the profile"),
    "VASCO_SPIKES_DEBUG": _does_nothing("vascodb explain shows the numbers behind every verdict"),
    "VASCO_SKIP_RENDER": _does_nothing("pictures are drawn only where they are asked for"),
    "VASCO_CSV": _does_nothing(_POSITIONS_FILE),
    "OPTICAL_MASTER": _does_nothing(_POSITIONS_FILE),
    "OPTICAL_PARQUET_DIR": _does_nothing(_POSITIONS_FILE),
    "TILES_ROOT": _does_nothing("VASCO_TILES_ROOT is the one that is read"),
    "N_PARALLEL": _does_nothing("use --workers, or fetch.workers in the settings file"),
    **dict.fromkeys(("RUN", "STAGE", "INPUT", "LOGDIR", "OUT_DIR", "PY", "WORKERS"), _does_nothing(_WRAPPER)),
    "DATA_DIR": _does_nothing("VASCODB_HOME says where files are kept"),
}
