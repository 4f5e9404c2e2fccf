"""What a reader of the dashboard can mend."""


class DashboardError(Exception):
    """The message is one line: what is wrong, and what to do."""


class NotBuiltError(DashboardError):
    """A table of Gold isn't there."""


class NotAllowedError(DashboardError):
    """The reader may not read a table."""


def one_line(error: object) -> str:
    """The first line of an error's text that says anything; the error's kind where none does."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)
