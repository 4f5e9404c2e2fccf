"""What goes wrong for the person at the keyboard, said in one line."""


class ReconcileError(Exception):
    """Nothing could be compared, and the reader can mend why: one line that says what is wrong and what to do."""
