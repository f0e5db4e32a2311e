"""The SDK's data in a package: of the services that the code names, and clients made from it are like the SDK's own."""

from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.loaders import Loader

from stacks.constructs import sdk_data
from stacks.constructs.packages import LAMBDAS, PackageError, build, host_target

CALLED = sdk_data.services(LAMBDAS.rglob("*.py"))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    sdk_data.write(CALLED, folder)
    return folder


def client(service: str, region: str, folder: Path | None = None) -> Any:
    session = botocore.session.Session()
    if folder:
        loader = Loader(extra_search_paths=[str(folder)], include_default_search_paths=False)
        session.register_component("data_loader", loader)
    return session.create_client(service, region_name=region)


def test_the_functions_call_what_their_roles_let_them() -> None:
    assert CALLED == ["dynamodb", "lambda", "s3", "secretsmanager", "sns", "sqs", "ssm"]


@pytest.mark.parametrize("service", CALLED)
@pytest.mark.parametrize("region", ["eu-central-1", "cn-north-1", "us-gov-west-1"])
def test_a_client_has_the_same_operations_shapes_and_endpoint(service: str, region: str, data: Path) -> None:
    ours, theirs = client(service, region, data), client(service, region)
    assert ours.meta.endpoint_url == theirs.meta.endpoint_url
    assert ours.meta.region_name == theirs.meta.region_name
    models = ours.meta.service_model, theirs.meta.service_model
    assert models[0].operation_names == models[1].operation_names
    assert models[0].shape_names == models[1].shape_names
    assert models[0].signing_name == models[1].signing_name
    assert ours.meta.method_to_api_mapping == theirs.meta.method_to_api_mapping


def test_no_texts_are_packed(data: Path) -> None:
    model = next((data / "dynamodb").glob("*/service-2.json")).read_text()
    assert '"documentation":"<' not in model
    assert sum(path.stat().st_size for path in (data / "dynamodb").rglob("*.json")) < 200_000


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
