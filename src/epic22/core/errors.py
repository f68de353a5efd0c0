"""Everything that can go wrong, as a tree.

Epic22Error
├── UserError             the caller's input: exit code 2, HTTP 4xx; the message is one clear sentence
│   ├── FileError         a file that cannot be read as a table
│   ├── ColumnError       a column that is absent, or does not fit the role it was named for
│   ├── SplitError        rows that cannot be split honestly as asked
│   ├── RowError          a row that cannot be scored
│   ├── UnknownTaskError  no task, version or champion of that name
│   ├── NotInstalledError an optional library that is not there
│   ├── BundleError       a stored model that is damaged, altered or not ours
│   └── LakeError         no data version of that number, or one that cannot be changed now
└── InternalError         our own mistake: exit code 1, HTTP 500; says how to report it
"""


class Epic22Error(Exception):
    """Root of all errors raised on purpose."""


class UserError(Epic22Error):
    """The caller's input is at fault; the message names the thing, what was found, what was expected and the way out."""


class FileError(UserError):
    """A file cannot be read as a table."""


class ColumnError(UserError):
    """A column is absent, or does not fit the role it was named for."""


class SplitError(UserError):
    """The rows cannot be split honestly as asked."""


class RowError(UserError):
    """A row cannot be scored.

    `problems` lists (row number from 0, column or None, what is wrong with it).
    """

    def __init__(self, message: str, problems: tuple[tuple[int, str | None, str], ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems


class UnknownTaskError(UserError):
    """No task, version or champion of that name is stored."""


class NotInstalledError(UserError):
    """An optional library was asked for and is not installed."""


class BundleError(UserError):
    """A stored model is damaged, altered, or was not written by this program."""


class LakeError(UserError):
    """No data version of that number is stored, or the tables cannot be changed now."""


class InternalError(Epic22Error):
    """A promise that this program makes to itself was broken."""
