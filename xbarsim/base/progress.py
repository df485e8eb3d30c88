"""One protocol of progress for every long step."""


def silent(description, total):
    """Progress that shows nothing.  `progress(description, total)` returns a function `done(k)` to
    call on the way.
    """
    return lambda k: None


def unsaid(text):
    """What `run_study` says on the way goes nowhere."""
