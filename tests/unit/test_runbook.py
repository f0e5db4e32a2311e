"""The runbook says what to do for each error that the sales report's functions name."""

from pathlib import Path

import pytest

from database_migrator.migrate import MigrationFailed, MigrationRefused
from sales_data_extractor.handler import InvalidEvent, ReportTooLarge
from shared.database import DatabaseError

_RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"


@pytest.mark.parametrize(
    "error",
    [*DatabaseError.__subclasses__(), InvalidEvent, ReportTooLarge, MigrationFailed, MigrationRefused],
    ids=lambda error: error.__name__,
)
def test_each_named_error_is_in_the_runbook(error: type[Exception]) -> None:
    assert f"`{error.__name__}`" in _RUNBOOK.read_text()
