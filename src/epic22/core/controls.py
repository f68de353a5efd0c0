"""Control characters in foreign texts: shown as what cannot be shown, or escaped as JSON does."""

import re

CONTROLS = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)")
"""What a terminal takes for a command, or cannot be written: controls but for the end of a line and the tab, marks that turn the
order of letters round, halves of a character."""


def mask_controls(text: str) -> str:
    """The text with every control character shown as one that cannot be shown.

    >>> mask_controls("leases\x1b[2J.csv")
    'leases\ufffd[2J.csv'
    """
    return CONTROLS.sub("\ufffd", text)


def escape_controls(document: str) -> str:
    r"""The JSON document with its control characters as JSON escapes them, so that it means the same and commands nothing.

    >>> escape_controls('["\x9b2J"]')
    '["\\u009b2J"]'
    """
    return CONTROLS.sub(lambda match: f"\\u{ord(match[0]):04x}", document)
