"""A task's name: of its model, its folder and its address, so of small ASCII letters, digits, '-' and '_' alone.

What such a name cannot show (letters that are not Latin, a text longer than a name) would make two tasks one; a hash of the whole
text keeps them apart.
"""

import hashlib
import re
import unicodedata
from pathlib import Path

MAX_LENGTH = 64
HASH_LENGTH = 8
DECORATION = re.compile(r"[\s._,;:!?'\"()\[\]{}-]+")
"""What stands between and around words, and may be written otherwise without another meaning."""

FILE_ENDINGS = frozenset((".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".parquet", ".pq", ".gz", ".zip", ".xlsx"))


def build_task_name(name: str | None, path: Path, label: str, otherwise: str = "task") -> str:
    """The name given, else one made of the file's name and the label; `otherwise` where no letter of them is Latin.

    >>> build_task_name(None, Path("Telco churn.csv"), "Churn?")
    'telco-churn-churn'
    >>> build_task_name(None, Path("жалобы.csv"), "исход"), build_task_name(None, Path("аренда.csv"), "отток")
    ('task-5128f018', 'task-82e8373c')
    """
    text = unicodedata.normalize("NFC", name if name is not None else f"{_strip_endings(path.name)}-{label}").lower()
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    short = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_")
    shows_all = re.fullmatch(r"[a-z0-9]+", DECORATION.sub("", text)) is not None
    if shows_all and len(short) <= MAX_LENGTH:
        return short
    digest = hashlib.sha256(text.encode()).hexdigest()[:HASH_LENGTH]
    return f"{short[: MAX_LENGTH - HASH_LENGTH - 1].rstrip('-_') or otherwise}-{digest}"


def _strip_endings(name: str) -> str:
    """A file's name without what says its format; what else stands behind a dot tells two files apart."""
    stem = name
    while Path(stem).suffix.lower() in FILE_ENDINGS:
        stem = Path(stem).stem
    return stem
