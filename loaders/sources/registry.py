"""Which source asks which service for a catalogue."""

from importlib import import_module
from typing import Any

from vascodb.errors import InputError
from vascodb.loaders.client.services import ServiceSettings, service
from vascodb.loaders.registry import CatalogDefinition, SourceBinding
from vascodb.loaders.sources import AreaSource, ListSource

__all__ = ["area_services", "area_source", "list_services", "list_source"]

# Modules and classes by protocol; loaded when needed, because the libraries that they use are slow to load.
_AREA = {"tap": ("tap", "TapSource"), "asu": ("asu", "AsuSource"), "mast": ("mast", "MastSource")}
_LISTS = {"tap": ("tap_upload", "TapUploadSource"), "xmatch": ("xmatch", "XMatchSource")}


def area_services(definition: CatalogDefinition, services: dict[str, ServiceSettings]) -> list[str]:
    """Services that can be asked for all of a catalogue's sources in an area, the default first."""
    return [
        name
        for name, binding in definition.via.items()
        if name in services and services[name].protocol in _AREA and binding.access == "any"
    ]


def list_services(definition: CatalogDefinition, services: dict[str, ServiceSettings]) -> list[str]:
    """Services that can be asked for a catalogue's sources near given positions, the default first."""
    return [name for name in definition.via if name in services and services[name].protocol in _LISTS]


def area_source(
    definition: CatalogDefinition, service_name: str | None, services: dict[str, ServiceSettings]
) -> AreaSource:
    """The source that asks a service for a catalogue in cones.

    Parameters
    ----------
    definition : `CatalogDefinition`
        The catalogue.
    service_name : str or None
        The service; none for the catalogue's default.
    services : dict of str to `ServiceSettings`
        All services.

    Raises
    ------
    InputError
        If that service cannot; the message names those that can.
    """
    name, binding = _binding(definition, service_name, area_services(definition, services), "for areas")
    settings = service(name, services)
    source: AreaSource = _class(*_AREA[settings.protocol])(definition, binding, settings)
    return source


def list_source(
    definition: CatalogDefinition, service_name: str | None, services: dict[str, ServiceSettings]
) -> ListSource:
    """The source that asks a service for a catalogue near given positions; parameters as `area_source`."""
    name, binding = _binding(definition, service_name, list_services(definition, services), "with lists of positions")
    settings = service(name, services)
    source: ListSource = _class(*_LISTS[settings.protocol])(definition, binding, settings)
    return source


def _class(module: str, name: str) -> Any:
    return getattr(import_module(f"vascodb.loaders.sources.{module}"), name)


def _binding(
    definition: CatalogDefinition, service_name: str | None, able: list[str], how: str
) -> tuple[str, SourceBinding]:
    name = service_name if service_name is not None else next(iter(able), None)
    if name is None or name not in able:
        raise InputError(
            f"{definition.name} cannot be asked {how}" + (f" at {name}" if name else "")
            + (f"; it can at: {', '.join(able)}" if able else ", at no service")
        )  # fmt: skip
    return name, definition.via[name]
