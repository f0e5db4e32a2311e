"""The syntax that the local cloud's tables hold update and projection expressions to."""

import pytest

from shop.local.expressions import SyntaxProblem, check_projection, check_update


@pytest.mark.parametrize(
    "text",
    [
        "SET a = :v",
        "set #n.b[0].c = if_not_exists(a, :v) + :w, d = list_append(:l, d) REMOVE e[1], f ADD g :v DELETE h :s",
        "SET a = b - :v",
        "SET a = (b + :v)",
        "REMOVE a SET b=:v",
        "SET a[0] = :v, a[1] = :v",
    ],
)
def test_takes_what_is_an_update(text: str) -> None:
    check_update(text, {"#n": "name"})


@pytest.mark.parametrize(
    "text",
    [
        "", "SET", "SET a", "SET a =", "SET a = :v,", "SET a == :v", "SET a = :v)", "SET a = (:v", "SET a[ = :v",
        "SET a[x] = :v", "SET a. = :v", "SET :v = a", "ADD a", "ADD a b", "REMOVE a,", "REMOVE a b", "FOO a",
        "SET a = foo(b)", "SET a = if_not_exists(b)", "SET a = if_not_exists(:v, b)", "SET a = list_append(b, c, d)",
        "SET a = :v SET b = :v", "SET a = :v REMOVE", "SET \x00 = :v", "SET é = :v", "SET 1a = :v", "SET _a = :v",
        "SET a = _b", "REMOVE a.set", "REMOVE a SET b.Remove = :v", "SET a = :v, delete = :v",
    ],
)  # fmt: skip
def test_refuses_what_is_no_update(text: str) -> None:
    with pytest.raises(SyntaxProblem):
        check_update(text, {})


@pytest.mark.parametrize("text", ["SET a = :v REMOVE a", "SET a = :v, a.b = :v", "SET a[0] = :v, #a[0].b = :v"])
def test_refuses_paths_that_overlap(text: str) -> None:
    with pytest.raises(SyntaxProblem, match="overlap"):
        check_update(text, {"#a": "a"})


@pytest.mark.parametrize("text", ["a", "#n.b[0], c"])
def test_takes_what_is_a_projection(text: str) -> None:
    check_projection(text, {"#n": "name"})


@pytest.mark.parametrize("text", ["", ",", "a,", "a b", "a,,b", "a.", ".a", "a[", "a[]", "a[x]", ":v", "size(a)", "1a"])
def test_refuses_what_is_no_projection(text: str) -> None:
    with pytest.raises(SyntaxProblem):
        check_projection(text, {})
