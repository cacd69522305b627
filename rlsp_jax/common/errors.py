"""What went wrong, for the person at the terminal."""


class UserError(ValueError):
    """A mistake that the user can mend: its message is one clear sentence that says what to do."""


class Interrupted(Exception):
    """Ctrl-C (or SIGTERM) arrived; everything is saved, and the message says how far."""
