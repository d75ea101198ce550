"""GitHub's published description of its REST API (npm package @octokit/openapi, MIT), as a judge of requests and
answers.

The package is fetched once by npm into a cache folder and cut down to the operations that the test server speaks.
OpenAPI 3.0 differs from JSON Schema in how it says "or null"; ``_as_json_schema`` translates that and nothing else.
"""

import functools
import io
import json
import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.github_server.routes import ROUTES

VERSION = "23.0.2"
_FILE = "generated/api.github.com.json"

# What GitHub sends anywhere without saying so at each operation; the body is then its basic error.
UNDESCRIBED = {301, 401, 403, 404, 405, 409, 422, 429, 451, 500, 502, 503}

# The events the test server sends.
WEBHOOKS = (
    "webhook-push",
    "webhook-pull-request-opened",
    "webhook-pull-request-closed",
    "webhook-pull-request-synchronize",
    "webhook-pull-request-converted-to-draft",
    "webhook-pull-request-review-submitted",
    "webhook-check-run-completed",
)

# Where PyGithub or GitHub itself departs from the description. Each line: operation, part, why.
DEPARTURES = {
    ("POST", "/repos/{owner}/{repo}/issues/{issue_number}/labels", "body"): "PyGithub's own method sends a bare array",
}


class DescriptionMissing(Exception):
    """GitHub's description could not be had; the text says what is missing."""


def cache_folder() -> Path:
    """Where downloaded test inputs are kept between runs."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "immune-tests" / f"octokit-openapi-{VERSION}"


def _fetch() -> Path:
    folder = cache_folder()
    kept = folder / "api.github.com.json"
    if kept.exists():
        return kept
    npm = shutil.which("npm")
    if npm is None:
        raise DescriptionMissing(
            "npm is needed to fetch GitHub's API description (@octokit/openapi); install nodejs and npm"
        )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as work:
        command = [npm, "pack", "--silent", "--ignore-scripts", f"@octokit/openapi@{VERSION}"]
        done = subprocess.run(command, cwd=work, capture_output=True, text=True, timeout=300, check=False)
        packed = next(Path(work).glob("*.tgz"), None)
        if done.returncode or packed is None:
            raise DescriptionMissing(f"npm could not fetch @octokit/openapi {VERSION}: {done.stderr.strip()[-300:]}")
        whole = Path(work) / "description.json"
        with tarfile.open(packed) as archive, archive.extractfile(f"package/{_FILE}") or io.BytesIO() as inner:
            whole.write_bytes(inner.read())
        # Renaming is the last step, so that a run beside this one never reads half a file.
        whole.rename(kept)
    return kept


def _as_json_schema(node: Any) -> Any:
    if isinstance(node, list):
        return [_as_json_schema(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {
        key: _as_json_schema(value) for key, value in node.items() if key not in ("example", "examples", "nullable")
    }
    if node.get("nullable") is not True:
        return made
    if isinstance(made.get("type"), str):
        made["type"] = [made["type"], "null"]
        if "enum" in made and None not in made["enum"]:
            made["enum"] = [*made["enum"], None]
        return made
    return {"anyOf": [made, {"type": "null"}]}


def _pointer(*steps: str) -> str:
    return "urn:github#/" + "/".join(step.replace("~", "~0").replace("/", "~1") for step in steps)


@functools.cache
def _document() -> dict[str, Any]:
    """The description, cut to the paths the server speaks and what they refer to, with refs made absolute."""
    whole = json.loads(_fetch().read_text())
    hooks = {name: whole["components"]["schemas"][name] for name in WEBHOOKS}
    paths = {route.path: whole["paths"][route.path] for route in ROUTES if route.described}
    cut: dict[str, Any] = {"paths": paths, "components": {"schemas": hooks}}
    waiting = _references(paths) | _references(hooks)
    seen: set[str] = set()
    while waiting:
        reference = waiting.pop()
        if reference in seen:
            continue
        seen.add(reference)
        _, _, section, name = reference.split("/")
        found = whole["components"][section][name]
        cut["components"].setdefault(section, {})[name] = found
        waiting |= _references(found)
    return json.loads(json.dumps(_as_json_schema(cut)).replace('"$ref": "#/', '"$ref": "urn:github#/'))


def _references(node: Any) -> set[str]:
    return set(re.findall(r'"\$ref": "(#/components/[^"]+)"', json.dumps(node)))


@functools.cache
def _registry() -> Registry:
    resource = Resource(contents=_document(), specification=DRAFT202012)
    return Registry().with_resource("urn:github", resource)


@functools.cache
def _validator(pointer: str) -> Draft202012Validator:
    return Draft202012Validator({"$ref": pointer}, registry=_registry())


def _resolved(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        steps = node["$ref"].removeprefix("urn:github#/").split("/")
        node = _document()
        for step in steps:
            node = node[step.replace("~1", "/").replace("~0", "~")]
    return node


def _wrong(pointer: str, value: Any) -> str:
    errors = sorted(_validator(pointer).iter_errors(value), key=lambda error: len(error.path))
    if not errors:
        return ""
    worst = errors[0]
    return f"{'/'.join(map(str, worst.absolute_path)) or 'whole'}: {worst.message[:300]}"


def wrong_request(method: str, path: str, query: dict[str, str], body: Any) -> list[str]:
    """What in a request is not as described; empty when all is."""
    operation = _document()["paths"][path].get(method.lower())
    if operation is None:
        return [f"{method} {path} is not described"]
    found = []
    named = {one["name"]: one for one in map(_resolved, operation.get("parameters", [])) if one["in"] == "query"}
    for name, value in query.items():
        if name not in named:
            found.append(f"{method} {path}: no query parameter {name}")
            continue
        schema = named[name].get("schema", {})
        if schema.get("type") == "integer" and not value.isdigit():
            found.append(f"{method} {path}: {name} is not a number: {value}")
        if "enum" in schema and value not in schema["enum"]:
            found.append(f"{method} {path}: {name} is none of {schema['enum']}: {value}")
    described = operation.get("requestBody")
    if body is None:
        return found
    if described is None:
        return [*found, f"{method} {path}: takes no body"]
    if (method, path, "body") in DEPARTURES and isinstance(body, list):
        return found
    pointer = _pointer("paths", path, method.lower(), "requestBody", "content", "application/json", "schema")
    error = _wrong(pointer, body)
    return [*found, f"{method} {path}: body {error}"] if error else found


def _answer_pointer(method: str, path: str, status: int) -> str | None:
    described = _document()["paths"][path][method.lower()]["responses"].get(str(status))
    if described is None:
        return None
    steps = ["paths", path, method.lower(), "responses", str(status)]
    if "$ref" in described:
        steps = described["$ref"].removeprefix("urn:github#/").split("/")
        described = _resolved(described)
    content = described.get("content", {})
    kind = next((kind for kind in ("application/json", "application/scim+json") if kind in content), None)
    return _pointer(*steps, "content", kind, "schema") if kind else ""


def wrong_answer(method: str, path: str, status: int, body: Any) -> list[str]:
    """What in an answer is not as described; empty when all is."""
    pointer = _answer_pointer(method, path, status)
    if pointer is None:
        if status not in UNDESCRIBED:
            return [f"{method} {path}: status {status} is not described"]
        pointer = _pointer("components", "schemas", "basic-error")
    if pointer == "" and (status < 400 or body is None):
        return [] if body is None else [f"{method} {path}: status {status} has no body"]
    if pointer == "":  # an error described by its status alone still says why
        pointer = _pointer("components", "schemas", "basic-error")
    error = _wrong(pointer, body)
    return [f"{method} {path}: answer {status} {error}"] if error else []


# --- filling in what nobody here reads


def complete(method: str, path: str, status: int, given: Any) -> Any:
    """The answer with every required field present: ours as given, all others the simplest the description allows."""
    pointer = _answer_pointer(method, path, status)
    return _completed({"$ref": pointer}, given) if pointer else given


def complete_schema(name: str, given: Any) -> Any:
    """The same for one of the named schemas (webhook events)."""
    return _completed({"$ref": _pointer("components", "schemas", name)}, given)


def wrong_value(name: str, value: Any) -> list[str]:
    """What in a value is not as the named schema says; empty when all is."""
    error = _wrong(_pointer("components", "schemas", name), value)
    return [f"{name}: {error}"] if error else []


_ABSENT = object()


def _completed(schema: dict[str, Any], given: Any) -> Any:
    schema = _resolved(schema)
    if given is _ABSENT:
        return _simplest(schema)
    if isinstance(given, list):
        return [_completed(schema.get("items", {}), item) for item in given]
    if not isinstance(given, dict):
        return given
    made = dict(given)
    for part in _parts(schema, given):
        properties = part.get("properties", {})
        for name in part.get("required", []):
            made.setdefault(name, _ABSENT)
        for name, value in made.items():
            if name in properties:
                made[name] = _completed(properties[name], value)
    return {name: None if value is _ABSENT else value for name, value in made.items()}


def _parts(schema: dict[str, Any], given: dict[str, Any]) -> list[dict[str, Any]]:
    """The object schemas that apply: all of allOf, the best fitting of a choice."""
    parts = [schema]
    for part in schema.get("allOf", []):
        parts += _parts(_resolved(part), given)
    choices = [_resolved(choice) for choice in schema.get("anyOf", []) + schema.get("oneOf", [])]
    objects = [choice for choice in choices if "properties" in choice]
    if objects:
        parts += _parts(max(objects, key=lambda one: len(one["properties"].keys() & given.keys())), given)
    return parts


def _simplest(schema: dict[str, Any]) -> Any:
    schema = _resolved(schema)
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    choices = schema.get("anyOf", []) + schema.get("oneOf", [])
    if "null" in kinds or {"type": "null"} in choices:
        return None
    if "enum" in schema:
        return schema["enum"][0]
    if choices and not kinds:
        return _simplest(choices[0])
    if schema.get("format") == "date-time":
        return "2026-05-01T12:00:00Z"
    if "array" in kinds:
        return []
    if "object" in kinds or "properties" in schema or "allOf" in schema:
        return _completed(schema, {})
    simple = {"boolean": False, "integer": schema.get("minimum", 1), "number": 1, "string": "https://github.test/none"}
    return simple.get(kinds[0]) if kinds else None
