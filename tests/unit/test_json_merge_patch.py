"""JSON merge patches of message bodies: RFC 7396, with every number as it was written."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shop.json_merge_patch import NotEditable, edit, read_patch

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
