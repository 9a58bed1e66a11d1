"""The API's documentation as one page of plain HTML, made from the OpenAPI document.

No script and nothing from another host: it works without a network, and no stranger's code
runs on the origin that an operator's key is used on.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
pre { overflow-x: auto; padding: .75rem; background: light-dark(#f3f3f3, #222); }
section { border-top: 1px solid light-dark(#ccc, #444); margin-top: 2rem; }
table { border-collapse: collapse; }
th, td { text-align: left; vertical-align: top; padding: .25rem 1rem .25rem 0; }
"""
_STYLE_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

POLICY = f"default-src 'none'; style-src 'sha256-{_STYLE_HASH}'; base-uri 'none'"
"""The page's Content-Security-Policy."""


def reference_page(document: Mapping[str, Any]) -> str:
    """The page of an OpenAPI document: every operation with an example, then every schema."""
    info = document["info"]
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(info['title'])} API</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(info['title'])} {escape(info['version'])}</h1>",
        _prose(info["description"]),
        '<p>As a document for programs: <a href="openapi.json">openapi.json</a>.</p>',
        *_contents(document),
    ]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts += _operation(method.upper(), path, operation)
    parts.append("<section><h2>Schemas</h2>")
    for name, schema in sorted(document["components"]["schemas"].items()):
        title = escape(name)
        parts.append(f'<details id="{title}"><summary>{title}</summary>{_code(schema)}</details>')
    return "\n".join([*parts, "</section></body></html>", ""])


def _contents(document: Mapping[str, Any]) -> Iterator[str]:
    for tag in document["tags"]:
        yield f"<h2>{escape(tag['name'].capitalize())}</h2><p>{escape(tag['description'])}</p><ul>"
        for path, methods in document["paths"].items():
            for method, operation in methods.items():
                if tag["name"] in operation["tags"]:
                    name, summary = escape(operation["operationId"]), escape(operation["summary"])
                    yield (
                        f'<li><a href="#{name}"><code>{method.upper()} {escape(path)}</code></a>: '
                        f"{summary}</li>"
                    )
        yield "</ul>"


def _operation(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[str]:
    yield f'<section id="{escape(operation["operationId"])}">'
    yield f"<h2>{escape(operation['summary'])}</h2>"
    yield f"<p><code>{method} {escape(path)}</code></p>{_prose(operation['description'])}"
    parameters = operation.get("parameters", ())
    if parameters:
        rows = ((each["name"], _kind(each), each["description"]) for each in parameters)
        yield _table(("parameter", "where", "meaning"), rows)
    body = operation.get("requestBody", {}).get("content", {}).get("application/json")
    if body is not None:
        yield f"<h3>Body</h3>{_code(_example(body))}{_links(body)}"
    yield "<h3>Answers</h3>"
    answers = operation["responses"]
    yield _table(("status", "meaning"), ((code, answers[code]["description"]) for code in answers))
    for response in answers.values():
        content = response.get("content", {}).get("application/json")
        if content is not None:
            yield _code(_example(content)) + _links(content)
            break
    yield "</section>"


def _kind(parameter: Mapping[str, Any]) -> str:
    return str(parameter["in"]) + ("" if parameter["required"] else ", optional")


def _example(content: Mapping[str, Any]) -> Any:
    examples = list(content.get("examples", {}).values())
    return examples[0]["value"] if examples else content["example"]


def _links(content: Mapping[str, Any]) -> str:
    """Links to the schemas that a body is made of."""
    pieces = json.dumps(content["schema"]).split('"#/components/schemas/')[1:]
    names = dict.fromkeys(piece.partition('"')[0] for piece in pieces)
    links = ", ".join(f'<a href="#{escape(name)}">{escape(name)}</a>' for name in names)
    return f"<p>Schema: {links}</p>"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = "".join(
        f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in row)}</tr>" for row in rows
    )
    return f"<table><tr>{''.join(f'<th>{cell}</th>' for cell in head)}</tr>{lines}</table>"


def _code(value: Any) -> str:
    return f"<pre>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</pre>"


def _prose(text: str) -> str:
    """Paragraphs and lists of the descriptions' small share of Markdown."""
    blocks = []
    for block in text.strip().split("\n\n"):
        lines = [_inline(line) for line in block.splitlines()]
        if block.startswith("* "):
            items = "".join(f"<li>{line.removeprefix('* ')}</li>" for line in lines)
            blocks.append(f"<ul>{items}</ul>")
        else:
            blocks.append(f"<p>{' '.join(lines)}</p>")
    return "".join(blocks)


def _inline(line: str) -> str:
    pieces = escape(line).split("`")
    return "".join(
        f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces)
    )
