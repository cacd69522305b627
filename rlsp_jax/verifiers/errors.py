"""Why a text could not be judged: each is a reason that an `Outcome` can give."""


class NotUnderstood(Exception):
    """The text is no mathematics that the grammar has; the message names the place."""


class TooLarge(Exception):
    """Reading or evaluating the text would take more than its share of time or memory."""
