"""The words of a written search: one vocabulary for whoever writes it, scores it or counts it."""

TRY = "try"
CHECK = "check"
YES = "yes"
NO = "no"
BACK = "back"
ANSWER = "answer:"
GIVE_UP = "none"
