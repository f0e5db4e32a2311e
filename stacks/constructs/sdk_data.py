"""What the SDK makes clients from, for a package: descriptions of the operations that its code calls, and of no others.

The SDK that Lambda's runtime brings has them of all services, a folder each, with texts for people, and looks through
them all. A package brings its own, without the texts and without operations that its code does not name, from the SDK
that this environment pins; the SDK's code stays the runtime's. They are data in the formats that botocore reads for
itself. Decision 0025 has what it gains.
"""

import ast
import hashlib
import importlib.metadata
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

FOLDER = "sdk_data"
"""Where they are in a package; `lambdas/shared/aws.py` looks there."""
EDITION = (importlib.metadata.version("botocore"), hashlib.sha256(Path(__file__).read_bytes()).hexdigest())
"""What the descriptions depend on beside the services: the SDK that they are from, and this module as it was loaded."""
_MAKER = "make_client"
"""The one function that makes clients (`shared.aws`)."""
_OF_ALL_SERVICES = ("partitions", "sdk-default-configuration", "_retry")
_OPERATIONS = "service-2"
_OF_A_SERVICE = (_OPERATIONS, "endpoint-rule-set-1", "paginators-1")
_OPTIONAL = {"paginators-1"}
_SDK_CALLS = {"s3": {"head_bucket", "create_session"}}
"""What the SDK itself calls on a client: where a bucket's region or a directory bucket's credentials are not known."""


class UnknownClient(ValueError):
    """A client is made of a service that the SDK does not have, or that nobody can tell from the code."""


def services(sources: Iterable[Path]) -> list[str]:
    """The services that code makes clients of, by the SDK's names, sorted.

    Raises:
        UnknownClient: the service is no text in the code.
    """
    return sorted({service for path in sources for service in _services_in(path)})


def _services_in(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if not isinstance(node, ast.Call) or ast.unparse(node.func).rpartition(".")[2] != _MAKER:
            continue
        match node.args:
            case [ast.Constant(value=str(service)), *_]:
                yield service
            case _:
                raise UnknownClient(f"{path.name}, line {node.lineno}: {_MAKER} is not given a service's name as text")


def words(sources: Iterable[Path]) -> list[str]:
    """What code may call an operation by, sorted: names after a dot, and texts, such as a paginator is asked for by."""
    nodes = (node for path in sources for node in ast.walk(ast.parse(path.read_bytes())))
    return sorted({word for node in nodes if (word := _word(node)) and word.isidentifier()})


def _word(node: ast.AST) -> str | None:
    match node:
        case ast.Attribute(attr=name) | ast.Constant(value=str(name)):
            return name
    return None


def write(names: Iterable[str], called: Iterable[str], folder: Path) -> None:
    """Writes the descriptions of these services, as files that botocore's loader finds.

    `called` has the names of operations as the SDK's clients have them (`put_item`), and may have any others.

    Raises:
        UnknownClient: the SDK has no such service, or none of its operations is called.
    """
    from botocore.loaders import Loader  # noqa: PLC0415 (only where a package is not in the cache)

    names, called = set(names), set(called)
    loader = Loader()
    for name in _OF_ALL_SERVICES:
        _save(loader.load_data(name), folder / f"{name}.json")
    _save(_endpoints_of(loader.load_data("endpoints"), names), folder / "endpoints.json")
    for name in names:
        if name not in loader.list_available_services(_OPERATIONS):
            raise UnknownClient(f"the SDK has no service {name!r}")
        version = loader.determine_latest_version(name, _OPERATIONS)
        for kind in _OF_A_SERVICE:
            if kind in _OPTIONAL and name not in loader.list_available_services(kind):
                continue
            model = loader.load_service_model(name, kind, version)
            if kind == _OPERATIONS:
                model = _of_operations(model, name, called)
            _save(_without_texts(model), folder / name / version / f"{kind}.json")


def _endpoints_of(endpoints: dict[str, Any], names: set[str]) -> dict[str, Any]:
    """The file that tells which regions there are, without the services that are not called.

    It goes by endpoint prefix, which for the services here is their name; those it lacks get the partition's pattern.
    """
    partitions = [
        {**partition, "services": {name: each for name, each in partition["services"].items() if name in names}}
        for partition in endpoints["partitions"]
    ]
    return {**endpoints, "partitions": partitions}


def _of_operations(model: dict[str, Any], service: str, called: set[str]) -> dict[str, Any]:
    """The description with the operations that are called, what they take and give, and all errors of the service."""
    from botocore import xform_name  # noqa: PLC0415 (as above)

    operations = {name: each for name, each in model["operations"].items() if xform_name(name) in called}
    if not operations:
        raise UnknownClient(f"a client of {service!r} is made, and the code names none of its operations")
    kept = {
        name: each
        for name, each in model["operations"].items()
        if name in operations or xform_name(name) in _SDK_CALLS.get(service, ()) or each.get("endpointoperation")
    }
    errors = [name for name, shape in model["shapes"].items() if shape.get("exception")]
    waiting, shapes = {*errors, *_shapes_in(kept)}, {}
    while waiting:
        name = waiting.pop()
        shapes[name] = model["shapes"][name]
        waiting |= set(_shapes_in(shapes[name])) - shapes.keys()
    # In the SDK's own order, so that the same package has the same bytes.
    shapes = {name: shape for name, shape in model["shapes"].items() if name in shapes}
    return {**model, "operations": kept, "shapes": shapes}


def _shapes_in(model: Any) -> Iterator[str]:
    """The shapes that a part of a description names; a member that is called `shape` is no such name."""
    if isinstance(model, list):
        for each in model:
            yield from _shapes_in(each)
    elif isinstance(model, dict):
        for key, value in model.items():
            if key == "shape" and isinstance(value, str):
                yield value
            else:
                yield from _shapes_in(value)


def _without_texts(model: Any) -> Any:
    """The same with no text in `documentation`, which botocore reads all the same; a member of that name stays."""
    if isinstance(model, list):
        return [_without_texts(each) for each in model]
    if not isinstance(model, dict):
        return model
    return {
        name: "" if name == "documentation" and isinstance(value, str) else _without_texts(value)
        for name, value in model.items()
    }


def _save(data: Any, place: Path) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(json.dumps(data, separators=(",", ":")), encoding="utf-8")
