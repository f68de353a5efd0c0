"""A plain page of the API, made from its OpenAPI document: nothing is loaded from anywhere."""

import html
import json
from typing import Any

STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}"
    "div{overflow-x:auto}td,th{padding:.3rem 1rem .3rem 0;border-bottom:1px solid #8886;vertical-align:top;text-align:left}"
    "pre{overflow-x:auto;padding:.6rem;border:1px solid #8886;border-radius:.3rem}"
)


def render_docs_page(document: dict[str, Any]) -> str:
    """All routes, then every task with its columns and an example body."""
    routes = [
        _render_row(f"<code>{method.upper()}</code>", f"<code>{html.escape(path)}</code>", html.escape(operation["summary"]))
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]
    tasks = "".join(
        _render_task(path, methods["post"], document) for path, methods in document["paths"].items() if _is_task(path)
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Epic 22: API</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style></head>'
        f"<body><h1>Epic 22 API {html.escape(document['info']['version'])}</h1>"
        f"<p>{html.escape(document['info']['description'])}</p>"
        '<p>The whole description is in <a href="/openapi.json">/openapi.json</a> (OpenAPI 3.1). '
        "Errors are problem documents (RFC 9457).</p>"
        f"<div><table>{''.join(routes)}</table></div>{tasks}</body></html>"
    )


def _is_task(path: str) -> bool:
    return path.endswith("/predictions") and "{" not in path


def _render_task(path: str, operation: dict[str, Any], document: dict[str, Any]) -> str:
    content = operation["requestBody"]["content"]["application/json"]
    schemas = document["components"]["schemas"]
    rows = schemas[_extract_schema_name(content["schema"]["$ref"])]["properties"]["rows"]["items"]["$ref"]
    row = schemas[_extract_schema_name(rows)]
    columns = [
        _render_row(
            f"<code>{html.escape(name)}</code>", "required" if name in row.get("required", ()) else "", html.escape(description)
        )
        for name, description in ((name, field["description"]) for name, field in row["properties"].items())
    ]
    example = html.escape(json.dumps(content["example"], indent=1, ensure_ascii=False))
    return (
        f"<h2>{html.escape(operation['summary'])}</h2><p>{html.escape(operation['description'])}</p>"
        f"<div><table><tr><th>column<th><th>meaning</tr>{''.join(columns)}</table></div>"
        f"<p><code>POST {html.escape(path)}</code> with <code>Content-Type: application/json</code>:</p><pre>{example}</pre>"
    )


def _extract_schema_name(reference: str) -> str:
    return reference.rsplit("/", 1)[1]


def _render_row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
