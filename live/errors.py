"""Errors that a person can mend."""


class LiveError(Exception):
    """One line that says what is wrong and what to do."""


class SparkIsGone(LiveError):
    """Spark doesn't answer, or was started again: the process ends, and whoever supervises it starts it again."""

    def __init__(self) -> None:
        super().__init__("Spark ended while this ran. Nothing is lost: the supervisor starts make live again")
