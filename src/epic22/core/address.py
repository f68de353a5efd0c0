"""Addresses: where in one a password or a key stands, so that it is neither stored nor shown."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import unquote

PATH_SCHEMES = frozenset(("http", "https", "s3", "s3a", "gs", "az", "abfs", "abfss", "ftp", "sftp", "file"))
"""Of addresses with a path of any form, in which an @ may stand; before the machine of others an @ ends a password whatever is
in it."""
MACHINE = re.compile(r"(?:\[[^\]]*\]|[^:\[\]]*)(?::\d*)?")
"""A machine, with a port or without."""
ADDRESS = re.compile(r"[^\s'\"<>(]*//[^\s'\"<>]+")
OPTION = re.compile(r"(?<=[?&;#])([^=&;#?\s/@'\"]+)=([^&;#\s'\"<>]+)")
"""An option of an address that has a value: its name, and that."""
SECRET_PARTS = ("token", "secret", "password", "passwd", "passphrase", "pwd", "signature", "credential", "apikey", "accesskey")
SECRET_WORDS = frozenset(("key", "sig", "pass", "auth"))
KEY_FILES = frozenset(("sslkey",))
"""Options that name the file of a key."""
HIDDEN = "…"


@dataclass(frozen=True)
class Address:
    """An address in parts: its scheme up to the //, what stands before the @ of its machine (None without one), and all from the
    machine on, which a text that is no address is as a whole."""

    scheme: str
    user_info: str | None
    rest: str

    @property
    def has_password(self) -> bool:
        """Whether a password stands beside the user."""
        return bool((self.user_info or "").partition(":")[2])

    @property
    def place(self) -> str:
        """The address without a user, and without what stands behind a ? or #."""
        return self.scheme + re.split("[?#]", self.rest, maxsplit=1)[0]

    @property
    def without_user(self) -> str:
        """The address without a user."""
        return self.scheme + self.rest


def split_address(text: str) -> Address:
    """The parts of an address, also of one whose password has a / ? # or @ that should be written as %2F, %3F, %23 or %40."""
    start = re.match(r"(?:[A-Za-z][\w+.:-]*:)?//", text)
    if start is None:
        return Address("", None, text)
    scheme, rest = start[0], text[start.end() :]
    authority = re.split("[/?#]", rest, maxsplit=1)[0]
    before, at, _ = authority.rpartition("@")
    is_password_before = ":" in before if at else MACHINE.fullmatch(authority) is None
    first_option = OPTION.search(rest)
    without_options = rest if first_option is None else rest[: first_option.start() - 1]
    if is_password_before or scheme.lower().rstrip(":/").rpartition(":")[2] not in PATH_SCHEMES:
        # Nobody but the last @ says where a password ends.
        parts = (without_options, rest) if is_password_before else (without_options,)
        before, at = next(((head, mark) for head, mark, _ in (part.rpartition("@") for part in parts) if mark), (before, at))
    return Address(scheme, before, rest[len(before) + 1 :]) if at else Address(scheme, None, rest)


def has_secret(address: str) -> bool:
    """Whether an address has a password or a key: beside its user, or in an option that is called so.

    >>> has_secret("https://h/x?api_key=5"), has_secret("https://h:8443/files/a@b.csv")
    (True, False)
    """
    return split_address(address).has_password or any(_is_secret(name) for name, _ in OPTION.findall(address))


def hide_secrets(text: str) -> str:
    """A text without the users and passwords of the addresses in it, and without the values of options that are secret.

    >>> hide_secrets("no answer of https://ann:p/w@host/x?sig=5&page=2")
    'no answer of https://host/x?sig=…&page=2'
    """
    text = ADDRESS.sub(lambda match: split_address(match[0]).without_user, text)
    return OPTION.sub(lambda match: f"{match[1]}={HIDDEN}" if _is_secret(match[1]) else match[0], text)


def hide_arguments(text: str, arguments: Sequence[str]) -> str:
    """A text without the passwords and keys of those of a command's arguments that it repeats, whole or cut.

    >>> hide_arguments("there is no verb 'redis://:p4ssw'; give redis://user:password@host", ["redis://:p4ssword@host/0"])
    "there is no verb 'redis://host/0'; give redis://user:password@host"
    """
    for argument in arguments:
        option, is_option, rest = argument.partition("=")
        address = rest if is_option and option.startswith("-") else argument
        if not has_secret(address):
            continue
        hidden = hide_secrets(address)
        lengths = range(len(address), _find_secret(address), -1)
        shown = (form for length in lengths for form in (address[:length], repr(address[:length])[1:-1]) if form in text)
        text = text.replace(next(shown, address), HIDDEN if has_secret(hidden) else hidden)
    return text


def _find_secret(address: str) -> int:
    """Where the password, else the first key, begins in an address that has one."""
    parts = split_address(address)
    if parts.has_password:
        return len(parts.scheme) + (parts.user_info or "").index(":") + 1
    return next(match.start(2) for match in OPTION.finditer(address) if _is_secret(match[1]))


def _is_secret(option: str) -> bool:
    """Whether an option of that name is a key, or the like.

    >>> [name for name in ("X-Amz-Signature", "apiKey", "sig", "page", "design", "sslkey", "sslpassword") if _is_secret(name)]
    ['X-Amz-Signature', 'apiKey', 'sig', 'sslpassword']
    """
    name = unquote(option)
    words = {word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)}
    joined = re.sub(r"[^a-z]", "", name.lower())
    return joined not in KEY_FILES and (bool(words & SECRET_WORDS) or any(part in joined for part in SECRET_PARTS))
