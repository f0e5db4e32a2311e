"""The rules of images as the functions run them (`lambdas/image_resizer`), for the command line."""

import shop.order_rules  # noqa: F401  (puts the folder of the functions on the search path)
from image_resizer.events import Source, UnreadableEvent, read_sources
from image_resizer.names import KeyTooLong, target_key

__all__ = ["KeyTooLong", "Source", "UnreadableEvent", "read_sources", "target_key"]
