"""The order service from the outside: its operations by `POST /order`, signed by the caller.

Numbers are exact both ways. What a person wrote as JSON goes into the envelope byte for byte (3.50 stays 3.50), and a
fraction in an answer is read as a Decimal.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from http import HTTPStatus
from itertools import chain, islice
from typing import Any, Final, NoReturn, TypeVar

import msgspec
import urllib3

from shop import http_client
from shop.errors import ShopError
from shop.http_client import Backoff, LostAnswerError, UnreachableError
from shop.output import field_text, plural, shorten
from shop.signing import signed_headers
from shop.target import Target

T = TypeVar("T")

LARGEST_PAGE: Final = 1000
"""Items that the service gives in one answer at most."""
MOST_SHOWN: Final = 500
"""Characters of an answer's text in an error."""
LONGEST_ROW: Final = 200
"""Characters of an item's fields in a list for a person."""

_CONTENT_TYPE: Final = {"content-type": "application/json"}
_HARMLESS_TWICE: Final = frozenset({"read", "list", "ping"})
"""Operations that change nothing: they are repeated where it is not known what became of the first try."""
_RIGHTS: Final = "the caller needs execute-api:Invoke on this API, and its API key where the stage asks for one"

Placeholders = Mapping[str, str | msgspec.Raw]
"""What placeholders stand for: a name, or JSON as it was written."""


class _Refusal(msgspec.Struct):
    error: str
    message: str
    requestId: str = ""  # noqa: N815  (the field's name in the contract)


class _Item(msgspec.Struct):
    Item: dict[str, Any]


class _Attributes(msgspec.Struct):
    Attributes: dict[str, Any]


class _Page(msgspec.Struct):
    Items: list[dict[str, Any]]
    LastEvaluatedKey: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET


@dataclass(frozen=True)
class Expression:
    """A DynamoDB expression's parameters: the text, and what its placeholders stand for."""

    parameters: Mapping[str, str] = field(default_factory=dict)
    """`UpdateExpression`, `ConditionExpression` or `FilterExpression`, each with its text."""
    names: Placeholders = field(default_factory=dict)
    values: Placeholders = field(default_factory=dict)

    def payload(self) -> dict[str, Any]:
        """Return the payload's part; placeholders that are not there are left out, as DynamoDB asks."""
        placeholders = {"ExpressionAttributeNames": self.names, "ExpressionAttributeValues": self.values}
        return {**self.parameters, **{name: given for name, given in placeholders.items() if given}}


@dataclass(frozen=True)
class Listing:
    """What `list` found: items, and whether the table has more of them."""

    items: list[dict[str, Any]]
    has_more: bool


Signer = Callable[[str, str, Mapping[str, str], bytes], dict[str, str]]
"""Method, URL, headers and body → the headers to send."""


class OrderService:
    """`POST /order` of one target, over a connection that stays open.

    Every method raises ShopError with the service's own error code and message where it refuses, and with one line on
    what happened where it cannot be reached, does not answer, or answers something else than its contract says.
    """

    def __init__(self, url: str, sign: Signer, pool: urllib3.PoolManager, backoff: Backoff | None = None) -> None:
        self._url = url
        self._sign = sign
        self._pool = pool
        self._backoff = backoff or Backoff()

    def create(self, item: msgspec.Raw, *, overwrite: bool) -> dict[str, Any]:
        """Store an item and return it; an id that exists is refused unless `overwrite`."""
        beside = {"overwrite": True} if overwrite else {}
        return _read(self._call("create", {"Item": item}, beside), _Item).Item

    def read(self, item_id: str) -> dict[str, Any]:
        """Return the item as it is now (a consistent read)."""
        return _read(self._call("read", {"Key": {"id": item_id}, "ConsistentRead": True}), _Item).Item

    def update(self, item_id: str, change: Expression) -> dict[str, Any]:
        """Change an item that exists and return the new one."""
        answer = self._call("update", {"Key": {"id": item_id}, **change.payload()})
        return _read(answer, _Attributes).Attributes

    def delete(self, item_id: str) -> dict[str, Any]:
        """Delete an item and return what it was."""
        return _read(self._call("delete", {"Key": {"id": item_id}}), _Attributes).Attributes

    def list_items(self, limit: int | None, chosen: Expression) -> Listing:
        """Return up to `limit` items (None: all), in no particular order, of those that the filter in `chosen` takes.

        One more than `limit` is looked for, because only an item proves that there are more.
        """
        if limit is None:
            return Listing(list(chain.from_iterable(self._pages(LARGEST_PAGE, chosen))), has_more=False)
        # A filter works on a page that was read already: small pages would be many requests for few items.
        size = LARGEST_PAGE if chosen.parameters else min(limit + 1, LARGEST_PAGE)
        items = list(islice(chain.from_iterable(self._pages(size, chosen)), limit + 1))
        return Listing(items[:limit], has_more=len(items) > limit)

    def ping(self) -> float:
        """Return the milliseconds between the request and its answer, the connection's set-up included."""
        answer = self._call("ping", None)
        if _read(answer, str) != "pong":
            _raise_unreadable(answer)
        return answer.milliseconds

    def _pages(self, size: int, chosen: Expression) -> Iterator[list[dict[str, Any]]]:
        payload: dict[str, Any] = {"Limit": size, **chosen.payload()}
        while True:
            page = _read(self._call("list", payload), _Page)
            yield page.Items
            if page.LastEvaluatedKey is msgspec.UNSET:
                return
            payload["ExclusiveStartKey"] = page.LastEvaluatedKey

    def _call(self, operation: str, payload: Any, beside: Mapping[str, Any] | None = None) -> "_Answer":
        """Have the service do an operation; repeat what was throttled, and after a failure what is harmless twice."""
        envelope = {"operation": operation, **(beside or {}), **({} if payload is None else {"payload": payload})}
        body = _encode(envelope)
        harmless = operation in _HARMLESS_TWICE
        for attempt in range(self._backoff.attempts):
            is_last = attempt == self._backoff.attempts - 1
            try:
                answer = self._send(body)
            except LostAnswerError as error:
                if is_last or not harmless:
                    raise ShopError(_lost(error, harmless=harmless)) from None
            else:
                if is_last or not answer.may_be_repeated(harmless=harmless):
                    break
            time.sleep(self._backoff.delay(attempt))
        if not HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES:
            _refuse(answer)
        return answer

    def _send(self, body: bytes) -> "_Answer":
        # Signed anew each time: a signature is good for five minutes, temporary credentials may be shorter.
        headers = self._sign("POST", self._url, _CONTENT_TYPE, body)
        started = time.perf_counter()
        try:
            response = http_client.post(self._pool, self._url, headers, body)
        except UnreachableError as error:
            raise ShopError(f"the order service cannot be reached: {error}") from None
        milliseconds = (time.perf_counter() - started) * 1000
        return _Answer(response.status, response.data, milliseconds, http_client.is_throttled(response))


@dataclass(frozen=True)
class _Answer:
    status: int
    body: bytes
    milliseconds: float
    is_throttled: bool

    def may_be_repeated(self, *, harmless: bool) -> bool:
        return self.is_throttled or (harmless and self.status >= HTTPStatus.INTERNAL_SERVER_ERROR)


def _encode(envelope: Mapping[str, Any]) -> bytes:
    try:
        return msgspec.json.encode(envelope)
    except UnicodeEncodeError:
        raise ShopError("what was given on the command line is not UTF-8") from None


def _lost(error: LostAnswerError, *, harmless: bool) -> str:
    doubt = "" if harmless else "; it may have been done all the same: read the item before you repeat it"
    return f"no answer from the order service ({error}){doubt}"


def _refuse(answer: _Answer) -> NoReturn:
    """Raise ShopError with the code and the message of an error's answer."""
    try:
        refusal = msgspec.json.decode(answer.body, type=_Refusal)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        _raise_unreadable(answer)
    request = f" (request id {refusal.requestId})" if refusal.requestId else ""
    rights = f"; {_RIGHTS}" if answer.status == HTTPStatus.FORBIDDEN else ""
    raise ShopError(shorten(f"{refusal.error}: {refusal.message}", MOST_SHOWN) + shorten(request, 100) + rights)


def _raise_unreadable(answer: _Answer) -> NoReturn:
    """Raise ShopError for an answer that the service does not give by its contract."""
    rights = f"; {_RIGHTS}" if answer.status == HTTPStatus.FORBIDDEN else ""
    said = shorten(answer.body.decode("utf-8", "replace"), MOST_SHOWN) or "nothing"
    raise ShopError(f"HTTP {answer.status}, and not in the order service's form: {said}{rights}")


def _read(answer: _Answer, form: type[T]) -> T:
    try:
        return msgspec.json.Decoder(form, float_hook=Decimal).decode(answer.body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        _raise_unreadable(answer)


def open_service(target: Target) -> OrderService:
    """Return the target's order service, with its API key where the stage asks for one."""
    url = target.output("OrderServiceEndpoint")
    has_key = "OrderServiceApiKeyId" in target.outputs
    key = {"x-api-key": http_client.api_key(target, "OrderServiceApiKeyId")} if has_key else {}

    def sign(method: str, url: str, headers: Mapping[str, str], body: bytes) -> dict[str, str]:
        return signed_headers(method, url, {**headers, **key}, body, target.credentials, target.region)

    return OrderService(url, sign, http_client.open_pool(target, url, connections=1))


def read_item(data: bytes, source: str) -> msgspec.Raw:
    """Return the one JSON object in `data`, byte for byte; raise ShopError, naming `source`, for anything else."""
    try:
        value = msgspec.json.decode(data, type=msgspec.Raw)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ShopError(f"{source}: not JSON ({error})") from None
    if not bytes(value).startswith(b"{"):
        raise ShopError(f"{source}: an item is one JSON object")
    return value


def read_placeholders(text: str | None, option: str) -> dict[str, msgspec.Raw]:
    """Return what expression placeholders stand for: the values of a JSON object, exact; none for None.

    Raises ShopError, naming `option`, for anything else.
    """
    if text is None:
        return {}
    try:
        found = msgspec.json.decode(text, type=dict[str, msgspec.Raw])
    except (msgspec.MsgspecError, RecursionError, UnicodeEncodeError) as error:
        raise ShopError(f"{option}: {shorten(text, 60)} is not a JSON object ({error})") from None
    return {name: value.copy() for name, value in found.items()}


def read_change(sets: Sequence[str], removes: Sequence[str]) -> Expression:
    """Return the update that gives fields values (`NAME=JSON`) and removes others (`NAME`), all of the item's top.

    Every name and value has a placeholder (`#set0`, `:set0`, `#remove0`), so that names which are reserved words of
    DynamoDB, or hold a dot, need no care. Raises ShopError where one has no name, or a value that is not JSON.
    """
    pairs = [_read_set(text) for text in sets]
    clauses = {
        "SET": ", ".join(f"#set{number} = :set{number}" for number in range(len(pairs))),
        "REMOVE": ", ".join(f"#remove{number}" for number in range(len(removes))),
    }
    named = [(f"#set{number}", name) for number, (name, _) in enumerate(pairs)]
    named += [(f"#remove{number}", name) for number, name in enumerate(removes)]
    return Expression(
        {"UpdateExpression": " ".join(f"{word} {clause}" for word, clause in clauses.items() if clause)},
        dict(named),
        {f":set{number}": value for number, (_, value) in enumerate(pairs)},
    )


def _read_set(text: str) -> tuple[str, msgspec.Raw]:
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise ShopError(f"--set: {shorten(text, 60)} is not NAME=JSON, such as price=80.50")
    try:
        return name, msgspec.json.decode(value, type=msgspec.Raw).copy()
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        line = f"--set {shorten(name, 60)}: {shorten(value, 60)} is not JSON; a string goes in double quotes"
        raise ShopError(f"""{line}: --set '{shorten(name, 60)}="text"'""") from None


def read_expression(
    parameters: Mapping[str, str | None], names: str | None, values: str | None, *, beside: Expression | None = None
) -> Expression:
    """Return the expressions among `parameters` that are given, with the placeholders of the options.

    `names` and `values` are JSON objects; those of `beside`, made up for `--set` and `--remove`, join them. Raises
    ShopError for what is not JSON and for a placeholder that both have.
    """
    start = beside or Expression()
    return Expression(
        {**start.parameters, **{name: text for name, text in parameters.items() if text is not None}},
        _joined(start.names, read_placeholders(names, "--names"), "--names"),
        _joined(start.values, read_placeholders(values, "--values"), "--values"),
    )


def _joined(made: Placeholders, given: Placeholders, option: str) -> Placeholders:
    twice = sorted(made.keys() & given.keys())
    if twice:
        raise ShopError(f"{option}: {twice[0]} is a placeholder of --set and --remove; take another")
    return {**made, **given}


def row(item: Mapping[str, Any]) -> tuple[str, str]:
    """Return an item's row in a list: its id, and its other fields as JSON, cut where they are long."""
    others = {name: value for name, value in sorted(item.items()) if name != "id"}
    return str(item.get("id")), shorten(field_text(others), LONGEST_ROW)


def title(listing: Listing) -> str:
    """Return how many items a list shows."""
    return f"Order service: {plural(len(listing.items), 'item')}"
