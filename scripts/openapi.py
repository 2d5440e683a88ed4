#!/usr/bin/env python3
"""openapi.py json|html|csp OPENAPI_YAML: the document in other forms, made at build time so that the YAML stays the one source.

json: the same document. html: a reference page that needs nothing from elsewhere: no script, no font, one style sheet of its own. csp: the policy
under which that page is served, which allows that style sheet by its hash and nothing else. Needs Debian's python3-yaml.
"""
import base64
import hashlib
import html
import json
import re
import sys

import yaml

STYLE = """
:root{color-scheme:light dark;--fg:#1c2024;--bg:#fff;--dim:#5c6670;--line:#d8dde2;--box:#f4f6f8;--get:#1667b7;--post:#1a7f45;--patch:#9a6200;--put:#9a6200;--delete:#b3261e}
@media(prefers-color-scheme:dark){:root{--fg:#e4e7ea;--bg:#15181b;--dim:#9aa4ae;--line:#343a40;--box:#1e2327;--get:#72b1f0;--post:#6fcf97;--patch:#e0b05c;--put:#e0b05c;--delete:#f28b82}}
*{box-sizing:border-box}
body{margin:0 auto;max-width:60rem;padding:1rem;font:1rem/1.5 system-ui,sans-serif;color:var(--fg);background:var(--bg);overflow-wrap:break-word}
h1{font-size:1.6rem;margin:.5rem 0}h2{font-size:1.3rem;margin:2.5rem 0 .5rem;border-bottom:1px solid var(--line)}h3{font-size:1.05rem;margin:0}h4{font-size:.9rem;margin:1rem 0 .3rem;color:var(--dim)}
a{color:inherit}p{margin:.5rem 0}code,pre{font:.88em/1.45 ui-monospace,monospace}code{background:var(--box);padding:.05em .25em;border-radius:3px}
pre{background:var(--box);padding:.6rem;overflow-x:auto;border-radius:4px}
details{border:1px solid var(--line);border-radius:4px;margin:.5rem 0;padding:.45rem .7rem}summary{cursor:pointer}
details[open]>summary{margin-bottom:.5rem}summary h3{display:inline;font-weight:600}
.m{display:inline-block;min-width:4.2rem;font:700 .8rem ui-monospace,monospace}.get{color:var(--get)}.post{color:var(--post)}.patch{color:var(--patch)}.put{color:var(--put)}.delete{color:var(--delete)}
.d{color:var(--dim)}nav ul,ul.t{columns:2 18rem;padding-left:1.1rem;margin:.3rem 0}
.w{overflow-x:auto}table{border-collapse:collapse;width:100%;font-size:.92rem}td,th{text-align:left;vertical-align:top;padding:.3rem .6rem .3rem 0;border-top:1px solid var(--line)}
th{font-weight:600}td:first-child{white-space:nowrap}
"""


class Page:
    def __init__(self, doc):
        self.doc = doc
        self.out = []

    def put(self, text):
        self.out.append(text)

    def resolve(self, node):
        while "$ref" in node:
            name = node["$ref"]
            node = self.doc
            for part in name.lstrip("#/").split("/"):
                node = node[part]
        return node

    @staticmethod
    def text(s, block=False):
        """What the descriptions use of Markdown: paragraphs and `code`."""
        def inline(t):
            return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(t, quote=False))
        if not block:
            return inline(str(s or ""))
        return "".join(f"<p>{inline(p)}</p>" for p in re.split(r"\n\s*\n", str(s or "").strip()) if p)

    def kind(self, schema):
        """A schema in a few words, with links to those that have a name."""
        if "$ref" in schema:
            name = schema["$ref"].rsplit("/", 1)[1]
            return f'<a href="#schema-{name}">{name}</a>'
        for many in ("oneOf", "anyOf"):
            if many in schema:
                return " or ".join(self.kind(s) for s in schema[many])
        if "const" in schema:
            return f"<code>{html.escape(json.dumps(schema['const']))}</code>"
        if "enum" in schema:
            return " ".join(f"<code>{html.escape(str(v))}</code>" for v in schema["enum"])
        types = schema.get("type", "any")
        words = " or ".join(types) if isinstance(types, list) else types
        if "items" in schema:
            words += " of " + self.kind(schema["items"])
        notes = [f"{label} {schema[key]}" for key, label in (("minimum", "from"), ("maximum", "to"), ("minLength", "length from"), ("maxLength", "length to"), ("maxItems", "at most"), ("default", "default"))
                 if key in schema]
        return html.escape(words, quote=False) if "<" not in words and not notes else words + (f' <span class="d">{html.escape(", ".join(notes))}</span>' if notes else "")

    def table(self, heads, rows):
        self.put('<div class="w"><table><tr>' + "".join(f"<th>{h}</th>" for h in heads) + "</tr>")
        for row in rows:
            self.put("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>")
        self.put("</table></div>")

    def properties(self, schema, prefix="", depth=0):
        rows = []
        for name, prop in schema.get("properties", {}).items():
            full = self.resolve(prop)
            must = " *" if name in schema.get("required", []) else ""
            rows.append((f"<code>{html.escape(prefix + name)}</code>{must}", self.kind(prop), self.text(prop.get("description", full.get("description", "")))))
            if depth < 3 and "$ref" not in prop:
                inner = prop.get("items", prop)
                if "$ref" not in inner:
                    rows += self.properties(inner, prefix + name + ("[]." if inner is not prop else "."), depth + 1)
        return rows

    def example(self, media):
        examples = [media["example"]] if "example" in media else [e["value"] for e in media.get("examples", {}).values()]
        for e in examples[:2]:
            self.put("<pre>" + html.escape(json.dumps(e, indent=1, ensure_ascii=False) if not isinstance(e, str) else e, quote=False) + "</pre>")

    def bodies(self, content):
        for media_type, media in content.items():
            self.put(f"<p><code>{media_type}</code> {self.kind(media.get('schema', {}))}</p>")
            self.example(media)

    def operation(self, path, method, op):
        self.put(f'<details id="{op["operationId"]}"><summary><span class="m {method}">{method.upper()}</span> <h3><code>{html.escape(path)}</code></h3> <span class="d">{self.text(op["summary"])}</span></summary>')
        self.put(self.text(op.get("description"), block=True))
        if op.get("security") == []:
            self.put("<p class=\"d\">Needs no API key.</p>")
        params = [self.resolve(p) for p in op.get("parameters", [])]
        if params:
            self.put("<h4>Parameters</h4>")
            self.table(("Name", "In", "Value", ""), [(f"<code>{html.escape(p['name'])}</code>" + (" *" if p.get("required") else ""), p["in"], self.kind(p["schema"]), self.text(p.get("description"))) for p in params])
        if "requestBody" in op:
            body = self.resolve(op["requestBody"])
            self.put(f"<h4>Body{'' if body.get('required') else ' (optional)'}</h4>{self.text(body.get('description'), block=True)}")
            self.bodies(body.get("content", {}))
        self.put("<h4>Answers</h4>")
        rows = []
        for status, answer in op["responses"].items():
            answer = self.resolve(answer)
            what = "<br>".join(f"<code>{t}</code> {self.kind(m['schema'])}" for t, m in answer.get("content", {}).items())
            rows.append((f"<code>{status}</code>", self.text(answer.get("description")), what))
        self.table(("Status", "", "Body"), rows)
        self.put("</details>")

    def render(self):
        doc, info = self.doc, self.doc["info"]
        by_tag = {t["name"]: [] for t in doc["tags"]}
        for path, methods in doc["paths"].items():
            for method, op in methods.items():
                if isinstance(op, dict) and "operationId" in op:
                    by_tag.setdefault(op["tags"][0], []).append((path, method, op))
        self.put(f'<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>{info["title"]} {info["version"]}: reference</title>'
                 f"<style>{STYLE}</style></head><body><header><h1>{info['title']} {info['version']}</h1><p>{self.text(info.get('summary'))}</p>{self.text(info['description'], block=True)}"
                 '<p>This document: <a href="openapi.yaml">YAML</a>, <a href="openapi.json">JSON</a>. A star marks what must be given or is always there.</p></header><nav><h2>Contents</h2><ul>')
        for tag in by_tag:
            self.put(f'<li><a href="#tag-{tag}">{tag}</a></li>')
        self.put('<li><a href="#schemas">schemas</a></li></ul></nav><main>')
        for tag, ops in by_tag.items():
            about = next((t.get("description", "") for t in doc["tags"] if t["name"] == tag), "")
            self.put(f'<section><h2 id="tag-{tag}">{tag}</h2><p>{self.text(about)}</p>')
            for op in ops:
                self.operation(*op)
            self.put("</section>")
        self.put('<section><h2 id="schemas">schemas</h2>')
        for name, schema in sorted(doc["components"]["schemas"].items()):
            self.put(f'<details id="schema-{name}"><summary><h3>{name}</h3></summary>{self.text(schema.get("description"), block=True)}<p>{self.kind(schema)}</p>')
            rows = self.properties(schema)
            if rows:
                self.table(("Field", "Value", ""), rows)
            self.put("</details>")
        self.put("</section></main></body></html>\n")
        return "\n".join(self.out)


def main():
    form, path = sys.argv[1:]
    with open(path, encoding="utf-8") as f:
        doc = yaml.safe_load(f)
    if form == "json":
        sys.stdout.write(json.dumps(doc, indent=1, ensure_ascii=False) + "\n")
    elif form == "html":
        sys.stdout.write(Page(doc).render())
    else:
        digest = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
        sys.stdout.write(f"default-src 'none'; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'")


main()
