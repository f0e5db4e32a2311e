from __future__ import annotations

from typing import Any

import pytest

from shop.local import velocity

ANSWER = "#if($code == 'A')a#elseif($code == 'B')b#else{c}#end!"


def _render(template: str, **variables: Any) -> str:
    def value_of(expression: str) -> Any:
        if expression.startswith("$"):
            return variables.get(expression[1:])
        return expression.strip("'")

    return velocity.render(template, lambda text: text, value_of)


@pytest.mark.parametrize(("code", "expected"), [("A", "a!"), ("B", "b!"), ("C", "{c}!"), (None, "{c}!")])
def test_one_branch_counts(code: str | None, expected: str) -> None:
    assert _render(ANSWER, code=code) == expected


def test_a_template_without_conditions_stays() -> None:
    text = '{"a": "$input.path(\'$.x\')"} #set($x = 1)'
    assert _render(text) == text


@pytest.mark.parametrize(
    ("outer", "inner", "expected"), [(True, True, "[12]"), (True, False, "[13]"), (False, True, "[4]")]
)
def test_conditions_nest(outer: bool, inner: bool, expected: str) -> None:
    template = "[#if($outer)1#if($inner)2#{else}3#end#{else}4#end]"
    assert _render(template, outer=outer, inner=inner) == expected


def test_what_does_not_count_is_not_rendered() -> None:
    rendered: list[str] = []

    def text_of(text: str) -> str:
        rendered.append(text)
        return text

    velocity.render("#if($no)#set($x = 1)#else y#end", text_of, lambda _: None)
    assert "".join(rendered) == " y"


def test_a_parenthesis_in_quotes_closes_nothing() -> None:
    assert _render("#if($x != ')')yes#end", x="(") == "yes"


def test_an_open_condition_is_an_error() -> None:
    with pytest.raises(ValueError, match="is not closed"):
        _render("#if($x == 'a' yes #end")
