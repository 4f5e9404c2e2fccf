"""What a reader of the dashboard can mend."""


class DashboardError(Exception):
    """The message is one line: what is wrong, and what to do."""
