"""The one kind of error that the command line shows as a sentence instead of a traceback."""


class ShopError(Exception):
    """Something a person can mend; its text is one line that names the thing, the value and the rule."""
