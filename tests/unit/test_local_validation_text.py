from __future__ import annotations

from typing import Any

import pytest
from jsonschema import Draft4Validator

from shop.local.validation_text import explain

SCHEMA = {
    "$schema": "http://json-schema.org/draft-04/schema#",
    "type": "object",
    "required": ["product", "quantity"],
    "additionalProperties": False,
    "properties": {
        "product": {"type": "string", "minLength": 1, "maxLength": 5, "pattern": "^[a-z]*$"},
        "quantity": {"type": "integer", "minimum": 1, "maximum": 10},
        "sizes": {"type": "array", "items": {"enum": ["S", "M"]}},
    },
}


def _explain(document: object) -> str:
    def is_valid(schema: Any, value: object) -> bool:
        return bool(Draft4Validator(schema).is_valid(value))

    return explain(SCHEMA, document, is_valid)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ({}, '[object has missing required properties (["product","quantity"])]'),
        (
            [],
            '[instance type (array) does not match any allowed primitive type (allowed: ["object"])]',
        ),
        (
            {"product": "tea", "quantity": "2"},
            '[/quantity: instance type (string) does not match any allowed primitive type (allowed: ["integer"])]',
        ),
        (
            {"product": "tea", "quantity": 0},
            "[/quantity: numeric instance is lower than the required minimum (minimum: 1, found: 0)]",
        ),
        (
            {"product": "tea", "quantity": 1, "x": 1},
            '[object instance has properties which are not allowed by the schema: ["x"]]',
        ),
        ({"product": "", "quantity": 1}, "[/product: string is too short (length: 0, required minimum: 1)]"),
        (
            {"product": "TEA", "quantity": 1},
            '[/product: ECMA 262 regex "^[a-z]*$" does not match input string "TEA"]',
        ),
        (
            {"product": "tea", "quantity": 1, "sizes": ["S", "XL"]},
            '[/sizes/1: instance value ("XL") not found in enum (possible values: ["S","M"])]',
        ),
    ],
)
def test_each_rule_has_its_words(document: object, expected: str) -> None:
    assert _explain(document) == expected


def test_several_reasons_are_told_and_long_values_cut() -> None:
    text = _explain({"product": "x" * 10_000, "quantity": 10**400})
    assert "/product: string is too long (length: 10000, maximum allowed: 5)" in text
    assert "/quantity: numeric instance is greater" in text
    assert len(text) < 1_000
