"""Reading `request:` of a mapping file: where rows are asked for over HTTP, and within which bounds."""

from collections.abc import Mapping
from typing import Any, cast, get_args

from epic22.core.errors import FileError, SourceError
from epic22.core.tables.mapping_record import check_record, read_choice, read_names, read_number, to_text
from epic22.core.tables.request import (
    ROOT,
    BodyFormat,
    EnvironmentText,
    FetchLimits,
    Layout,
    Pagination,
    PagingKind,
    RequestOrigin,
    split_path,
)

LIMIT_KEYS = ("requests_per_minute", "max_bytes", "max_pages", "max_seconds")
KEYS = ("address", "params", "headers", "format", "rows", "layout", "pages", "redirect_hosts", *LIMIT_KEYS)
PAGING_KEYS: Mapping[PagingKind, tuple[str, ...]] = {
    "page": ("param", "start", "step", "size"),
    "cursor": ("param", "path"),
    "link": ("path",),
}
"""What each way of asking for the next page may say."""
NEEDED: Mapping[PagingKind, tuple[str, ...]] = {"page": ("param",), "cursor": ("param", "path"), "link": ()}


def read_request(place: str, record: Mapping[str, Any]) -> RequestOrigin:
    """The request that a source's record declares. Raises FileError, which says where in it the mistake is."""
    if "drop_where_also_in" in record:
        raise FileError(f"{place}.drop_where_also_in: names a file, and there is none beside a request.")
    place = f"{place}.request"
    section = check_record(place, record["request"], KEYS)
    address = section.get("address")
    if not isinstance(address, str) or not address:
        raise FileError(f"{place}: expected 'address:' with the address of the rows, such as https://host/path.")
    form = cast(BodyFormat, read_choice(f"{place}.format", section.get("format", "json"), get_args(BodyFormat)))
    declared = RequestOrigin(
        address,
        _read_texts(f"{place}.params", section.get("params", {})),
        _read_texts(f"{place}.headers", section.get("headers", {})),
        form,
        tuple(_check_path(f"{place}.rows", path) for path in read_names(f"{place}.rows", section.get("rows", ROOT))),
        cast(Layout, read_choice(f"{place}.layout", section.get("layout", "records"), get_args(Layout))),
        _read_pages(f"{place}.pages", section.get("pages"), form),
        _read_limits(place, section),
        read_names(f"{place}.redirect_hosts", section["redirect_hosts"]) if "redirect_hosts" in section else (),
    )
    try:
        return declared.with_address(address)
    except SourceError as error:
        raise FileError(f"{place}.address: {error}") from None


def _read_texts(place: str, content: object) -> tuple[tuple[str, EnvironmentText], ...]:
    texts = []
    for name, value in check_record(place, content, None).items():
        if isinstance(value, dict):
            value = "${" + to_text(check_record(f"{place}.{name}", value, ("env",)).get("env", "")) + "}"
        text = EnvironmentText(to_text(value))
        if isinstance(value, list) or ("${" in text.template and not text.is_secret):
            raise FileError(f"{place}.{name}: expected a text, or {{env: NAME}} for a variable of the environment.")
        texts.append((str(name), text))
    return tuple(texts)


def _read_pages(place: str, content: object, form: BodyFormat) -> Pagination | None:
    if content is None:
        return None
    every = dict.fromkeys(key for keys in PAGING_KEYS.values() for key in keys)
    record = check_record(place, content, ("by", *every))
    by = cast(PagingKind, read_choice(f"{place}.by", record.get("by"), get_args(PagingKind)))
    check_record(place, record, ("by", *PAGING_KEYS[by]))
    for key in NEEDED[by]:
        if not record.get(key):
            raise FileError(f"{place}: pages by {by} need {key!r}.")
    if form == "csv" and "path" in record:
        raise FileError(f"{place}.path: a CSV body has no paths; its pages go by page or by the Link header.")
    return Pagination(
        by,
        to_text(record.get("param", "")),
        _check_path(f"{place}.path", record["path"]) if "path" in record else "",
        int(read_number(f"{place}.start", record.get("start", 1), 0)),
        int(read_number(f"{place}.step", record.get("step", 1), 1)),
        int(read_number(f"{place}.size", record["size"], 1)) if "size" in record else None,
    )


def _read_limits(place: str, section: Mapping[str, Any]) -> FetchLimits:
    values = {key: read_number(f"{place}.{key}", section[key], 1e-3) for key in LIMIT_KEYS if key in section}
    default = FetchLimits()
    return FetchLimits(
        int(values.get("max_bytes", default.max_bytes)),
        int(values.get("max_pages", default.max_pages)),
        values.get("max_seconds", default.max_seconds),
        values.get("requests_per_minute"),
    )


def _check_path(place: str, path: object) -> str:
    try:
        split_path(to_text(path))
    except SourceError as error:
        raise FileError(f"{place}: {error}") from None
    return to_text(path)
