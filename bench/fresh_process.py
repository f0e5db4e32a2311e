"""Runs a piece of Python in a process of its own, for costs that a process pays once, such as imports."""

import os
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[1]
LAMBDAS: Final = ROOT / "lambdas"

# Credentials and a region, so that a client can be made; no address of AWS, so that nothing leaves the machine.
FUNCTION_ENVIRONMENT: Final = {
    "AWS_ACCESS_KEY_ID": "benchmark",
    "AWS_SECRET_ACCESS_KEY": "benchmark",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
    "ORDER_SERVICE_TABLE": "orders-of-the-benchmark",
}


def image_environment(name: str, side: int, *, bucket: str, originals: str) -> dict[str, str]:
    """The settings of an image function as its stack makes them: fits `side` x `side` pixels, under prefix `name`."""
    return {
        "IMAGES_BUCKET": bucket,
        "SOURCE_PREFIX": originals,
        "TARGET_PREFIX": f"{name}/",
        "IMAGE_WIDTH": str(side),
        "IMAGE_HEIGHT": str(side),
        "IMAGE_QUALITY": "85",
        "IMAGE_FORMAT": "jpeg",
        "MAX_PIXELS": "60000000",
        "MAX_FILE_BYTES": "100000000",
        "IMAGE_SUFFIXES": ".jpg",
    }


def run(*arguments: str, environment: Mapping[str, str]) -> str:
    """Run this Python with `arguments` in the repository's root and return what it prints.

    Raises subprocess.CalledProcessError when it fails; its stderr goes to ours.
    """
    users = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    done = subprocess.run(  # noqa: S603 (our own interpreter, our own code)
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**users, "PYTHONPATH": str(LAMBDAS), **environment},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def cpu_milliseconds(code: str, *, before: str, rounds: int, package: Path = LAMBDAS) -> float:
    """Return the CPU time of `code` (user and system, milliseconds) after `before` ran: the median of fresh processes.

    The first process is not counted: it may have to compile to byte-code, which a package for Lambda brings along.
    Functions are imported from `package`, as in `cpu_of_code`.
    """
    return statistics.median([cpu_of_code(code, before=before, package=package) for _ in range(rounds + 1)][1:])


def cpu_of_code(code: str, *, before: str, package: Path = LAMBDAS) -> float:
    """Return the CPU time of `code` (user and system, milliseconds) after `before` ran, in one fresh process.

    Functions are imported from `package`. Only a built one has what the SDK is spared (decision 0025).
    """
    timed = (
        f"import time\n{before}\n_start = time.process_time()\n{code}\nprint((time.process_time() - _start) * 1000)\n"
    )
    return float(run("-c", timed, environment={**FUNCTION_ENVIRONMENT, "PYTHONPATH": str(package)}))
