"""The SDK's data in a package: of operations that the code names; clients made from it are like the SDK's own."""

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.loaders import Loader, create_loader

from shared import aws
from stacks.constructs import sdk_data
from stacks.constructs.packages import LAMBDAS, PackageError, build, host_target

SDKS_OWN = create_loader()
"""Not the one that all other sessions of the test process share: a call to S3 notes something in what it loaded."""
CALLED = ["dynamodb", "lambda", "s3", "secretsmanager", "sns", "sqs", "ssm"]
"""Which functions have clients of."""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    sdk_data.write(CALLED, sdk_data.words(LAMBDAS.rglob("*.py")), folder)
    return folder


def client(service: str, region: str, folder: Path | None = None) -> Any:
    session = botocore.session.Session()
    packed = folder and Loader(extra_search_paths=[str(folder)], include_default_search_paths=False)
    session.register_component("data_loader", packed or SDKS_OWN)
    return session.create_client(service, region_name=region)


def test_the_functions_call_what_their_roles_let_them() -> None:
    assert sdk_data.services(LAMBDAS.rglob("*.py")) == CALLED


@pytest.mark.parametrize("service", CALLED)
@pytest.mark.parametrize("region", ["eu-central-1", "cn-north-1", "us-gov-west-1"])
def test_a_client_has_the_same_endpoint_errors_and_operations_as_far_as_they_are_called(
    service: str, region: str, data: Path
) -> None:
    ours, theirs = client(service, region, data), client(service, region)
    assert ours.meta.endpoint_url == theirs.meta.endpoint_url
    assert ours.meta.region_name == theirs.meta.region_name
    models = ours.meta.service_model, theirs.meta.service_model
    assert models[0].metadata == models[1].metadata
    assert models[0].signing_name == models[1].signing_name
    assert {shape.name for shape in models[0].error_shapes} == {shape.name for shape in models[1].error_shapes}
    assert ours.meta.method_to_api_mapping.items() <= theirs.meta.method_to_api_mapping.items()
    for name in models[0].operation_names:
        described = [described_whole(model.operation_model(name)) for model in models]
        assert described[0] == described[1]


def described_whole(operation: Any) -> dict[str, Any]:
    """What an operation takes, gives and fails with, down to the last member."""
    shapes: dict[str, Any] = {}
    waiting = [shape for shape in (operation.input_shape, operation.output_shape, *operation.error_shapes) if shape]
    while waiting:
        shape = waiting.pop()
        if shape.name not in shapes:
            members = inner_shapes(shape)
            shapes[shape.name] = [plainly(shape), {name: plainly(each) for name, each in members.items()}]
            waiting += members.values()
    return {"http": operation.http, "auth": operation.auth_type, "shapes": shapes}


def inner_shapes(shape: Any) -> dict[str, Any]:
    match shape.type_name:
        case "structure":
            return dict(shape.members)
        case "list":
            return {"member": shape.member}
        case "map":
            return {"key": shape.key, "value": shape.value}
    return {}


def plainly(shape: Any) -> tuple[Any, ...]:
    return shape.name, shape.type_name, shape.serialization, shape.metadata


def test_what_the_sdk_calls_by_itself_is_packed() -> None:
    sdk = Path(botocore.session.__file__).parent.glob("*.py")
    own_calls = {name for path in sdk for name in re.findall(r"self\._client\.([a-z_]+)\(", path.read_text())}
    kept = {name for names in sdk_data._SDK_CALLS.values() for name in names}
    assert {name for name in own_calls if any(name in operations(service) for service in CALLED)} == kept


def operations(service: str) -> set[str]:
    return set(client(service, "eu-west-1").meta.method_to_api_mapping)


def packed(folder: Path, code: str) -> set[str]:
    """The operations of DynamoDB that a function with this code gets."""
    (folder / "greeter").mkdir()
    (folder / "greeter" / "handler.py").write_text("dynamodb = make_client('dynamodb')\n" + code)
    package = build("greeter", host_target(), lambdas=folder, cache=folder / "cache").folder
    return set(json.loads(next(package.glob("sdk_data/dynamodb/*/service-2.json")).read_text())["operations"])


def test_operations_are_packed_that_the_code_names_after_a_dot_or_as_a_text(tmp_path: Path) -> None:
    code = "call(store.dynamodb.put_item)\ndynamodb.get_paginator('list_tables').paginate()\ndelete_item()\n"
    found_out_by_the_sdk = {"DescribeEndpoints"}
    assert packed(tmp_path, code) == {"PutItem", "ListTables"} | found_out_by_the_sdk


def test_a_client_of_which_the_code_names_no_operation_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        PackageError, match="greeter: a client of 'dynamodb' is made, and the code names none of its op"
    ):
        packed(tmp_path, "call(dynamodb, 'put' + '_item')\n")


def test_a_package_is_made_anew_when_its_code_calls_something_else(tmp_path: Path) -> None:
    assert "PutItem" in packed(tmp_path, "dynamodb.put_item()\n")
    (tmp_path / "greeter" / "handler.py").unlink()
    (tmp_path / "greeter").rmdir()
    assert "PutItem" not in packed(tmp_path, "dynamodb.get_item()\n")


@pytest.fixture
def in_package(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The data as functions find it, in a folder to change it in."""
    monkeypatch.setattr(aws, "_SDK_DATA", tmp_path / sdk_data.FOLDER)
    aws._session.cache_clear()
    yield Path(shutil.copytree(data, tmp_path / sdk_data.FOLDER))
    aws._session.cache_clear()


@pytest.mark.usefixtures("in_package")
def test_functions_make_clients_from_the_packages_data() -> None:
    assert aws.make_client("sns").meta.method_to_api_mapping.keys() < operations("sns")


@pytest.mark.parametrize("unreadable", ["of another kind", "away", "no JSON"])
def test_where_the_sdk_cannot_use_the_packages_data_it_reads_its_own(
    unreadable: str, in_package: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rules = next(in_package.glob("dynamodb/*/endpoint-rule-set-1.json"))
    match unreadable:
        case "of another kind":  # as to an SDK that is older than what a new kind of parameter is for
            rules.write_text(rules.read_text().replace('"type":"string"', '"type":"kind of 2030"'))
        case "away":  # as to a newer one that wants a file more
            (in_package / "partitions.json").unlink()
        case "no JSON":
            rules.write_text("{")
    client = aws.make_client("dynamodb")
    assert client.meta.method_to_api_mapping.keys() == operations("dynamodb")
    assert "the SDK reads its own data" in caplog.text


def test_no_texts_are_packed(data: Path) -> None:
    model = next((data / "dynamodb").glob("*/service-2.json")).read_text()
    assert '"documentation":"<' not in model
    assert sum(path.stat().st_size for path in (data / "dynamodb").rglob("*.json")) < 60_000


def test_a_service_that_is_not_written_down_is_refused(tmp_path: Path) -> None:
    (tmp_path / "greeter").mkdir()
    (tmp_path / "greeter" / "handler.py").write_text("for name in ('s3', 'sns'):\n    make_client(name)\n")
    with pytest.raises(PackageError, match=r"greeter: handler\.py, line 2: make_client is not given a service's name"):
        build("greeter", host_target(), lambdas=tmp_path, cache=tmp_path / "cache")


def test_a_service_that_the_sdk_does_not_have_is_refused(tmp_path: Path) -> None:
    (tmp_path / "greeter").mkdir()
    (tmp_path / "greeter" / "handler.py").write_text("make_client('dynamobd')\n")
    with pytest.raises(PackageError, match="greeter: the SDK has no service 'dynamobd'"):
        build("greeter", host_target(), lambdas=tmp_path, cache=tmp_path / "cache")
