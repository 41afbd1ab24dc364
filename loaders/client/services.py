"""The services that can be asked: addresses, limits and manners, from the defaults and the user's settings file."""

import tomllib
from functools import cache
from importlib.resources import files
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from vascodb.errors import InputError

__all__ = ["Protocol", "ServiceSettings", "default_services", "service"]

Protocol = Literal["tap", "asu", "mast", "xmatch", "skybot", "dss", "files"]
Address = Annotated[str, Field(pattern=r"^https?://[^\s/?#]+[^\s]*$")]


class ServiceSettings(BaseModel):
    """How one service is asked.

    Parameters
    ----------
    title : str
        The service in words.
    protocol : str
        What it speaks.
    endpoints : tuple of str
        Addresses, the mirrors in order of preference.
    connect_timeout_s, first_byte_timeout_s, total_timeout_s : float
        Longest time to connect, between two pieces of the answer, and for the whole answer, in seconds.
    attempts : int
        How often one question is tried, over all mirrors.
    backoff_s, max_backoff_s : float
        First and longest pause between attempts, in seconds; it doubles.
    jitter_s : float or None
        Longest random time added to a pause, in seconds; none: as long as the first pause.
    per_second : float
        Most questions begun per second.
    connections : int
        Most questions under way at once.
    row_cap : int
        Most rows of an answer; an answer of exactly as many counts as cut.
    list_rows : int
        Most positions sent in one list.
    max_radius_deg : float
        Widest cone asked for; wider regions are asked for in parts.
    max_bytes : int
        Longest answer taken.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    title: str
    protocol: Protocol
    endpoints: tuple[Address, ...] = Field(min_length=1)
    connect_timeout_s: float = Field(default=10.0, gt=0, le=3600)
    first_byte_timeout_s: float = Field(default=90.0, gt=0, le=86_400)
    total_timeout_s: float = Field(default=600.0, gt=0, le=604_800)
    attempts: int = Field(default=4, ge=1, le=1000)
    backoff_s: float = Field(default=1.0, ge=0, le=3600)
    max_backoff_s: float = Field(default=60.0, ge=0, le=86_400)
    jitter_s: float | None = Field(default=None, ge=0, le=3600)
    per_second: float = Field(default=3.0, gt=0, le=10_000)
    connections: int = Field(default=3, ge=1, le=100)
    row_cap: int = Field(default=200_000, gt=1)
    list_rows: int = Field(default=2_000, ge=1)
    max_radius_deg: float = Field(default=1.0, gt=0, le=90)
    max_bytes: int = Field(default=500_000_000, gt=0)


@cache
def default_services() -> dict[str, ServiceSettings]:
    """The services as they are shipped, by name."""
    content = tomllib.loads(files("vascodb.loaders").joinpath("services.toml").read_text(encoding="utf-8"))
    return {name: ServiceSettings(**entry) for name, entry in content.items()}


def service(name: str, services: dict[str, ServiceSettings]) -> ServiceSettings:
    """The service of that name.

    Raises
    ------
    InputError
        If there is none; the message lists those there are.
    """
    if name not in services:
        raise InputError(f"unknown service {name!r}; there are: {', '.join(sorted(services))}")
    return services[name]
