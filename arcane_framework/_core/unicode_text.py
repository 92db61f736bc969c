"""Whether a text can leave the process."""


def is_unicode(text: str) -> bool:
    """Whether a text can be written as UTF-8: half a surrogate pair, which JSON and file names can hold, cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
