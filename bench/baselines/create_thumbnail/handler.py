"""The plain lab's thumbnail function: decodes the whole image, resizes it with LANCZOS, both by way of files."""

import json
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote_plus

import boto3
from PIL import Image

s3 = boto3.client("s3")

SIDE = 128


def handler(event: Mapping[str, Any], context: object) -> dict[str, int]:  # noqa: ARG001 (Lambda calls it so)
    """Makes an image of each object that a batch of SQS messages tells of.

    Raises:
        ClientError: S3 refused.
        OSError: an object is no image.
    """
    for message in event["Records"]:
        for record in json.loads(message["body"])["Records"]:
            key = unquote_plus(record["s3"]["object"]["key"])
            _make(record["s3"]["bucket"]["name"], key, f"thumbnail/{key.removeprefix(os.environ['SOURCE_PREFIX'])}")
    return {"statusCode": 200}


def _make(bucket: str, key: str, target: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        original, small = Path(folder, "original"), Path(folder, "small.jpg")
        s3.download_file(bucket, key, str(original))
        with Image.open(original) as image:
            image.load()
            scale = min(1.0, SIDE / max(image.size))
            size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
            image.convert("RGB").resize(size, Image.Resampling.LANCZOS).save(small, "JPEG", quality=85)
        s3.upload_file(str(small), bucket, target)
