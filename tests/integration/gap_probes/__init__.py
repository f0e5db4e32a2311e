"""What shows each of the emulator's gaps: one look for each, at an emulator that has none of our stacks."""

from tests.integration.gap_probes import api_gateway, data, functions, messages, platform
from tests.integration.gap_probes.registry import PROBES

__all__ = ["PROBES", "api_gateway", "data", "functions", "messages", "platform"]
