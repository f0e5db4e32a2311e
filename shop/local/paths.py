"""Where a local cloud keeps what: every cloud has one folder of its own, so that several can run side by side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Paths:
    """The files of the local cloud in `folder` (an absolute path)."""

    folder: Path

    @property
    def cloud_json(self) -> Path:
        """What a client needs to talk to the cloud."""
        return self.folder / "cloud.json"

    @property
    def outputs_json(self) -> Path:
        """The stacks' outputs, in the form of `cdk deploy --outputs-file`."""
        return self.folder / "outputs.json"

    @property
    def pid_file(self) -> Path:
        """Written and locked by the emulator for as long as it lives."""
        return self.folder / "emulator.pid"

    @property
    def log_file(self) -> Path:
        """What the emulator prints."""
        return self.folder / "emulator.log"

    @property
    def database_json(self) -> Path:
        """How the database is reached; the keys of `database.Database`."""
        return self.folder / "database.json"

    @property
    def database_pid(self) -> Path:
        """Written and locked by the database for as long as it lives."""
        return self.folder / "database.pid"

    @property
    def database_log(self) -> Path:
        """What the database prints."""
        return self.folder / "database.log"

    @property
    def console_pid(self) -> Path:
        """Written and locked by the console page's process for as long as it lives."""
        return self.folder / "console.pid"

    @property
    def console_port(self) -> Path:
        """The port that the console page had last; outlives the cloud, for the next one's page to have it again."""
        return self.folder / "console.port"

    @property
    def console_log(self) -> Path:
        """What the console page's process prints: its address, and tracebacks."""
        return self.folder / "console.log"

    @property
    def deploy_log(self) -> Path:
        """What the CDK command line printed during the last deployment."""
        return self.folder / "deploy.log"

    @property
    def lock_file(self) -> Path:
        """Held by whoever starts, deploys or stops."""
        return self.folder / "up.lock"

    @property
    def assembly(self) -> Path:
        """The synthesised stacks."""
        return self.folder / "cdk.out"

    @property
    def mailbox_json(self) -> Path:
        """The mail of a cloud that was stopped, until the next one has it."""
        return self.folder / "mailbox.json"

    @property
    def tls(self) -> Path:
        """The certificates that HTTPS on the loopback address needs."""
        return self.folder / "tls"

    @property
    def data(self) -> Path:
        """All that the emulator and the database write; forgetting the cloud's state means removing it."""
        return self.folder / "data"
