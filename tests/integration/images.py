"""The deployed image fan-out as a test's client sees it: uploads, results, queues."""

import io
import json
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError
from PIL import Image

from shop.local.clients import client
from shop.local.cloud import Cloud
from tests.integration.pipeline import queue_messages

SIZES = {"thumbnail": 128, "mobile": 640}
QUEUES = {"thumbnail": "Thumbnail", "mobile": "Mobile"}
FUNCTIONS = {"thumbnail": "CreateThumbnailFunctionName", "mobile": "CreateMobileImageFunctionName"}
_CONNECTIONS = 8


def picture(width: int = 400, height: int = 300, image_format: str = "JPEG", **options: Any) -> bytes:
    """A picture whose left upper corner is red, on a gradient."""
    image = Image.linear_gradient("L").resize((width, height)).convert("RGB")
    image.paste((255, 0, 0), (0, 0, width // 2, height // 2))
    file = io.BytesIO()
    image.save(file, image_format, **options)
    return file.getvalue()


@dataclass(frozen=True)
class Stored:
    """A result as it is in the bucket."""

    content: bytes
    metadata: Mapping[str, str]
    content_type: str
    version: str

    @property
    def image(self) -> Image.Image:
        return Image.open(io.BytesIO(self.content))


@dataclass(frozen=True)
class ImageFanout:
    cloud: Cloud
    outputs: Mapping[str, str]

    def client(self, service: str) -> Any:
        return client(self.cloud, service)

    @property
    def bucket(self) -> str:
        return self.outputs["ImagesBucketName"]

    def put(self, name: str, content: bytes) -> str:
        """Uploads to `ingest/`; the version's id."""
        answer = self.client("s3").put_object(Bucket=self.bucket, Key=f"ingest/{name}", Body=content)
        return str(answer["VersionId"])

    def put_all(self, images: Mapping[str, bytes]) -> None:
        s3 = self.client("s3")
        with ThreadPoolExecutor(_CONNECTIONS) as threads:
            list(threads.map(lambda name: s3.put_object(Bucket=self.bucket, Key=f"ingest/{name}", Body=images[name]),
                             images))  # fmt: skip

    def get(self, key: str) -> Stored | None:
        try:
            answer = self.client("s3").get_object(Bucket=self.bucket, Key=key)
        except ClientError as error:
            if error.response["Error"]["Code"] == "NoSuchKey":
                return None
            raise
        return Stored(answer["Body"].read(), answer["Metadata"], answer["ContentType"], answer["VersionId"])

    def results(self, name: str) -> dict[str, Stored]:
        """The results that are there, by size's prefix."""
        found = {prefix: self.get(f"{prefix}/{name}") for prefix in SIZES}
        return {prefix: stored for prefix, stored in found.items() if stored}

    def names(self, prefix: str) -> set[str]:
        """Names below a prefix."""
        pages = self.client("s3").get_paginator("list_objects_v2").paginate(Bucket=self.bucket, Prefix=f"{prefix}/")
        return {item["Key"].removeprefix(f"{prefix}/") for page in pages for item in page.get("Contents", ())}

    def versions(self, key: str) -> int:
        """How many versions of a key there are."""
        answer = self.client("s3").list_object_versions(Bucket=self.bucket, Prefix=key)
        return sum(version["Key"] == key for version in answer.get("Versions", ()))

    def publish(self, message: str) -> None:
        """Publishes on the topic as S3 does."""
        self.client("sns").publish(TopicArn=self.outputs["ResizeTopicArn"], Message=message)

    def send(self, prefix: str, body: str) -> None:
        """Puts a message on one size's queue."""
        self.client("sqs").send_message(QueueUrl=self.queue(prefix), MessageBody=body)

    def queue(self, prefix: str) -> str:
        return self.outputs[f"{QUEUES[prefix]}QueueUrl"]

    def waiting(self, prefix: str) -> dict[str, str]:
        """Body by message id of what is on a size's queue, visible or in flight."""
        return queue_messages(self.cloud, self.queue(prefix))

    def dead(self, prefix: str) -> dict[str, str]:
        """Body by message id of what is in a size's dead-letter queue."""
        return queue_messages(self.cloud, self.outputs[f"{QUEUES[prefix]}DeadLetterQueueUrl"])

    def is_dead(self, prefix: str, name: str) -> bool:
        """Whether the event of an object is in a size's dead-letter queue; the name needs no encoding."""
        return any(f"ingest/{name}" in body for body in self.dead(prefix).values())

    def log(self, prefix: str) -> list[str]:
        """All that a size's function logged, oldest first."""
        function = self.client("lambda").get_function_configuration(FunctionName=self.outputs[FUNCTIONS[prefix]])
        group = function["LoggingConfig"]["LogGroup"]
        pages = self.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
        return [event["message"] for page in pages for event in page["events"]]

    def event(self, name: str, *, version: str | None, sequencer: str, encoded: str | None = None) -> str:
        """An event as S3 publishes it (Amazon S3 User Guide, "Event message structure")."""
        found = {"key": encoded or f"ingest/{name}", "sequencer": sequencer}
        record = {
            "eventVersion": "2.1",
            "eventSource": "aws:s3",
            "eventName": "ObjectCreated:Put",
            "s3": {"bucket": {"name": self.bucket}, "object": found | ({"versionId": version} if version else {})},
        }
        return json.dumps({"Records": [record]})

    @contextmanager
    def environment(self, prefix: str, **changes: str) -> Iterator[None]:
        """A size's function with other environment variables for a while."""
        functions, name = self.client("lambda"), self.outputs[FUNCTIONS[prefix]]
        before = functions.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
        functions.update_function_configuration(FunctionName=name, Environment={"Variables": before | changes})
        try:
            yield
        finally:
            functions.update_function_configuration(FunctionName=name, Environment={"Variables": before})


def metadata_of(images: Iterable[Image.Image]) -> list[Any]:
    """What images carry beside their pixels and JPEG's own header."""
    harmless = {"jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive", "progression", "dpi"}
    return [image.info.keys() - harmless for image in images if image.info.keys() - harmless]
