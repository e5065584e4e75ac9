"""Properties of the encoder: any value there and back."""

from __future__ import annotations

import datetime as dt
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from python_worker import codec, exceptions

hashable_leaves = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(min_value=-(2**70), max_value=2**70),
    st.floats(allow_nan=False),
    st.text(),
    st.binary(),
    st.datetimes(),
    st.datetimes(timezones=st.just(dt.UTC)),
    st.dates(),
    st.times(),
)


hashables = st.recursive(
    hashable_leaves, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=6
)


values = st.recursive(
    hashables,
    lambda inner: st.one_of(
        st.lists(inner, max_size=6),
        st.lists(inner, max_size=6).map(tuple),
        st.dictionaries(hashables, inner, max_size=6),
        st.sets(hashables, max_size=6),
    ),
    max_leaves=30,
)


def replaced(value: Any) -> Any:
    """Replaces lone surrogates, as the encoder does."""
    if isinstance(value, str):
        return "".join("\ufffd" if 0xD800 <= ord(char) < 0xE000 else char for char in value)
    if isinstance(value, (list, tuple, set)):
        return type(value)(map(replaced, value))
    if isinstance(value, dict):
        return {replaced(key): replaced(part) for key, part in value.items()}
    return value


@given(values)
def test_any_value_survives_a_round_trip(value: object) -> None:
    back = codec.decode(codec.encode(value))
    assert back == replaced(value)
    assert codec.encode(back) == codec.encode(replaced(value))


@given(values)
def test_beside_any_value_the_path_of_what_cannot_be_sent_is_named(value: object) -> None:
    try:
        codec.encode({"good": value, "bad": [value, object()]})
    except exceptions.EncodeError as error:
        assert error.path == "value['bad'][1]"  # noqa: PT017
    else:
        raise AssertionError
