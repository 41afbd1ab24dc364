"""The services as they are shipped, and what their settings may be."""

import pytest
from pydantic import ValidationError

from vascodb.errors import InputError
from vascodb.loaders.client.services import ServiceSettings, default_services, service

ONE = {"title": "x", "protocol": "tap", "endpoints": ("https://example.org/tap",)}


def test_all_services_that_are_needed_are_shipped() -> None:
    assert {
        "vizier_tap", "vizier_asu", "mast_catalogs", "cds_xmatch", "gavo_tap", "irsa_tap", "skybot", "stsci_dss",
        "irsa_plates", "cds_moc",
    } <= set(default_services())  # fmt: skip


def test_the_archive_that_asks_for_one_request_at_a_time_gets_no_more() -> None:
    assert default_services()["stsci_dss"].connections == 1


@pytest.mark.parametrize("name", sorted(default_services()))
def test_shipped_services_are_asked_with_patience_and_manners(name: str) -> None:
    settings = default_services()[name]
    assert all(endpoint.startswith("http") for endpoint in settings.endpoints)
    assert len(set(settings.endpoints)) == len(settings.endpoints)
    assert settings.attempts >= 2
    assert settings.per_second <= 5
    assert settings.connections <= 4
    assert settings.connect_timeout_s <= settings.first_byte_timeout_s <= settings.total_timeout_s


def test_a_service_that_is_not_there_is_an_error_that_lists_those_that_are() -> None:
    with pytest.raises(InputError, match=r"unknown service 'vizir_tap'; there are: .*vizier_tap"):
        service("vizir_tap", default_services())


@pytest.mark.parametrize(
    "wrong",
    [
        {"endpoints": ()}, {"endpoints": ("ftp://example.org",)}, {"endpoints": ("example.org",)},
        {"endpoints": ("https://",)}, {"endpoints": ("https://a b",)}, {"protocol": "soap"}, {"attempts": 0},
        {"per_second": 0}, {"per_second": float("nan")}, {"per_second": float("inf")}, {"connections": 0},
        {"row_cap": 1}, {"max_radius_deg": 0}, {"max_radius_deg": 91}, {"total_timeout_s": -1}, {"jitter_s": -1},
        {"connect_timeout_s": 1e300}, {"atempts": 3},
    ],
    ids=str,
)  # fmt: skip
def test_impossible_settings_are_refused(wrong: dict[str, object]) -> None:
    ServiceSettings(**ONE)
    with pytest.raises(ValidationError):
        ServiceSettings(**ONE | wrong)
