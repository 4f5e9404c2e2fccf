"""What goes wrong for the person at the keyboard, said in one line."""


class BiError(Exception):
    """The files can't be made, and the reader can mend why: one line that says what is wrong and what to do."""
