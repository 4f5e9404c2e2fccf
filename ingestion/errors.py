"""What a person can mend."""


class IngestionError(Exception):
    """Something the user can mend. The message is one line: what is wrong, and what to do."""
