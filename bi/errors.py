"""What goes wrong for the person at the keyboard, said in one line."""


class BiError(Exception):
    """The files can't be made, and the reader can mend why: one line that says what is wrong and what to do."""


def one_line(error: object) -> str:
    """The first line of an error's text that says anything; the error's kind where none does."""
    lines = (line.strip() for line in str(error).splitlines())
    return next(filter(None, lines), type(error).__name__)
