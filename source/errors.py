"""What goes wrong for the person at the keyboard, said in one line."""


class SourceError(Exception):
    """A failure its reader can mend: the message is one line that says what is wrong and what to do."""


def one_line(error: object) -> str:
    """The first line of an error's text, without the clutter a server or a stack trace puts around it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
