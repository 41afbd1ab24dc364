"""Identifiers come from content alone."""

import hashlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vascodb.ids import canonical_json, content_id, file_sha256

FLOATS = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | FLOATS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


def test_an_id_is_the_same_on_every_machine_for_ever() -> None:
    assert content_id("image", "abc") == 8587627407649783220
    digest = hashlib.sha256(b'["image","abc"]').digest()
    assert content_id("image", "abc") == int.from_bytes(digest[:8], "big") // 2


@given(st.dictionaries(st.text(), VALUES))
def test_the_order_of_keys_does_not_matter(value: dict[str, object]) -> None:
    turned = dict(reversed(value.items()))
    assert canonical_json(turned) == canonical_json(value)
    assert content_id("x", turned) == content_id("x", value)


@given(VALUES, VALUES)
def test_other_content_has_another_id(one: object, other: object) -> None:
    same = canonical_json(one) == canonical_json(other)
    assert (content_id("x", one) == content_id("x", other)) is same


@given(VALUES)
def test_an_id_fits_a_bigint(value: object) -> None:
    assert 0 <= content_id(value) < 2**63


def test_parts_are_not_run_together() -> None:
    assert content_id("ab", "c") != content_id("a", "bc")
    assert content_id("a", ["b"]) != content_id("a", "b")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {"x": [float("-inf")]}])
def test_what_is_no_number_has_no_canonical_form(value: object) -> None:
    with pytest.raises(ValueError, match="JSON compliant"):
        canonical_json(value)


def test_a_files_hash_is_that_of_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"x" * 3_000_000)
    assert file_sha256(path) == hashlib.sha256(b"x" * 3_000_000).hexdigest()
