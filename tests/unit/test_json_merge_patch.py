"""JSON merge patches of message bodies: RFC 7396, with every number as it was written."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop.json_merge_patch import NotEditable, difference, edit, read_patch

# RFC 7396, appendix A: those of the examples whose original and result are objects.
EXAMPLES = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("original", "patch", "result"), EXAMPLES)
def test_the_rfcs_examples(original: Any, patch: Any, result: Any) -> None:
    assert json.loads(edit(json.dumps(original), read_patch(json.dumps(patch)))) == result


@given(number=st.from_regex(r"-?(0|[1-9][0-9]{0,60})(\.[0-9]{1,60})?([eE][+-]?[0-9]{1,30})?", fullmatch=True))
def test_a_number_keeps_its_digits(number: str) -> None:
    assert edit(f'{{"kept": {number}, "a": 1}}', read_patch(f'{{"a": {number}}}')) == (
        f'{{"kept":{number},"a":{number}}}'
    )


@given(text=st.text())
def test_a_text_survives(text: str) -> None:
    edited = edit(json.dumps({"text": text}), {})
    assert json.loads(edited) == {"text": text}
    assert not {"\ufffe", "\uffff", "\0"} & set(edited)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        ("A coffee, please", "is not JSON"),
        ("[1]", "is not a JSON object"),
        ('{"price": NaN}', "NaN is no number"),
        ('{"a": 1, "a": 2}', 'has the key "a" more than once'),
        ('{"a": "\\ud800"}', "half of a surrogate pair"),
        ('{"a": ' + "[" * 100_000, "nested too deeply"),
    ],
)
def test_what_cannot_be_edited_is_refused(body: str, why: str) -> None:
    with pytest.raises(NotEditable, match=why):
        edit(body, {})


def test_a_patch_must_be_an_object() -> None:
    with pytest.raises(NotEditable, match="is not a JSON object"):
        read_patch("3")


VALUES = st.recursive(
    st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.sampled_from("abcd"), VALUES, max_size=4)


@given(before=OBJECTS, after=OBJECTS)
def test_a_difference_makes_one_object_of_the_other(before: Any, after: Any) -> None:
    patch = difference(json.dumps(before), json.dumps(after))
    assert json.loads(edit(json.dumps(before), patch)) == after
    assert bool(patch) == (json.dumps(before, sort_keys=True) != json.dumps(after, sort_keys=True))


def test_a_difference_keeps_the_digits_that_were_typed() -> None:
    before = '{"price_per_item": "err", "quantity": 2.0, "product": "Tea"}'
    after = '{"price_per_item": 3.50, "quantity": 2, "product": "Tea"}'
    assert edit(before, difference(before, after)) == '{"price_per_item":3.50,"quantity":2,"product":"Tea"}'
    assert edit('{"a": 3.5}', difference('{"a": 3.5}', '{"a": 3.50}')) == '{"a":3.50}'


def test_white_space_and_sequence_are_no_difference() -> None:
    assert difference('{"a": 1, "b": [null]}', '{\n "b": [null],\n "a": 1}') == {}


@pytest.mark.parametrize("before", ['{"a": {"b": 1}}', '{"a": {}}', '{"a": 1}', "{}"])
def test_nothing_can_be_made_null(before: str) -> None:
    with pytest.raises(NotEditable, match=r'cannot make "a\.b" null'):
        difference(before, '{"a": {"b": null}}')


def test_what_is_null_may_stay_and_go() -> None:
    before = '{"a": null, "b": null}'
    assert edit(before, difference(before, '{"b": null, "c": 1}')) == '{"b":null,"c":1}'


@pytest.mark.parametrize(
    ("before", "after", "why"),
    [
        ("tea", "{}", "before the change it is not JSON"),
        ('{"a": 1, "a": 2}', "{}", "before the change it has the key"),
        ("{}", "{", "is not JSON"),
        ("{}", "[]", "is not a JSON object"),
    ],
)
def test_what_has_no_difference_is_refused(before: str, after: str, why: str) -> None:
    with pytest.raises(NotEditable, match=f"^{why}"):
        difference(before, after)
