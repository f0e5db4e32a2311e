"""`python -m shop`."""

import io
import sys

from shop.cli import app

if isinstance(sys.stdout, io.TextIOWrapper):
    # An order's text must not stop a command where the terminal's encoding lacks a character.
    sys.stdout.reconfigure(errors="backslashreplace")
app(prog_name="python -m shop")
