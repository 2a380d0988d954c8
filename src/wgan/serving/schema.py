"""What the OpenAPI document says of paths and bodies that the routes read by themselves."""

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from wgan.image_requests import MEDIA
from wgan.serving.protocol import LARGEST, LENGTH, NAME, OUTPUT, TYPES, VERSION, Form

Plain = dict[str, Any]

_BYTES: Plain = {"schema": {"type": "string", "format": "binary"}}
_REFUSED: Plain = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
    "additionalProperties": False,
}
_MEANINGS = {
    400: "The request cannot work; the sentence says why.",
    401: "The token is missing, or another one.",
    404: "There is no such thing.",
    408: "The request was not whole in time.",
    413: "The body is too large.",
    415: "The body is packed in an unknown way.",
    503: "There is no room now; Retry-After says when to ask again.",
}

REFUSALS: dict[int | str, Plain] = {
    status: {"description": meaning, "content": {"application/json": {"schema": _REFUSED}}}
    for status, meaning in _MEANINGS.items()
}
"""Every answer but the good one: a sentence each."""


def answers(content: Plain | None = None, *, said: str = "Yes.") -> Plain:
    """Of a route whose good answer is no JSON of FastAPI's making."""
    good: Plain = {"description": said} | ({} if content is None else {"content": content})
    return {"response_class": Response, "responses": {200: good}}


def model_path(prefix: str) -> Plain:
    """Of the routes of one model."""
    known = {"model": NAME, "number": VERSION}
    named = [name for name in known if f"{{{name}}}" in prefix]
    places = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": [known[name]]}}
        for name in named
    ]
    return {"openapi_extra": {"parameters": places}}


def images(form: Form, classes: Sequence[str] | None) -> Plain:
    """Of the route that draws images."""
    label: Plain = {"type": "null"}
    if classes is not None:
        number = {"type": "integer", "minimum": 0, "maximum": len(classes) - 1}
        label = {"anyOf": [number, {"type": "string", "enum": list(classes)}, label]}
    order = {
        "type": "object",
        "properties": {
            "seed": {"type": "integer", "minimum": 0, "maximum": 2**64 - 1, "default": 0},
            "count": {"type": "integer", "minimum": 1, "maximum": form.most, "default": 1},
            "label": label,
            "truncation": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 1},
            "format": {"type": "string", "enum": list(MEDIA), "default": "png"},
        },
        "additionalProperties": False,
    }
    body = {"required": True, "content": {"application/json": {"schema": order}}}
    good = answers(dict.fromkeys(MEDIA.values(), _BYTES), said="The images.")
    return good | {"openapi_extra": {"requestBody": body}}


def inference(prefix: str, form: Form) -> Plain:
    """Of the protocol's inference route."""
    names = ["latents"] if form.classes is None else ["latents", "labels"]
    asked = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "maxLength": 256},
            "parameters": {"type": "object"},
            "inputs": {
                "type": "array",
                "items": {"anyOf": [_input(name, form) for name in names]},
                "minItems": len(names),
                "maxItems": len(names),
            },
            "outputs": {"type": "array", "items": _output(), "maxItems": 1},
        },
        "required": ["inputs"],
    }
    length = {"name": LENGTH, "in": "header", "schema": {"type": "integer", "minimum": 1}}
    content = {"application/json": {"schema": asked}, "application/octet-stream": _BYTES}
    good = answers({"application/json": {"schema": {"type": "object"}}, "application/octet-stream": _BYTES})
    extra = model_path(prefix)["openapi_extra"]
    extra["parameters"].append(length)
    return good | {"openapi_extra": extra | {"requestBody": {"required": True, "content": content}}}


def _input(name: str, form: Form) -> Plain:
    sides: list[Plain] = [{"type": "integer", "minimum": 1, "maximum": form.most}]
    number: Plain = {"type": "integer", "minimum": 0, "maximum": (form.classes or 1) - 1}
    if name == "latents":
        sides.append({"const": form.latent_dim})
        number = {"type": "number", "minimum": -LARGEST, "maximum": LARGEST}
    shape = {"type": "array", "prefixItems": sides, "minItems": len(sides), "maxItems": len(sides)}
    rows = {"type": "array", "items": {"anyOf": [number, {"type": "array", "items": number}]}}
    properties = {
        "name": {"const": name},
        "datatype": {"const": TYPES[name][0]},
        "shape": shape,
        "data": rows,
    }
    return {"type": "object", "properties": properties, "required": list(properties)}


def _output() -> Plain:
    parameters = {"type": "object", "properties": {"binary_data": {"type": "boolean"}}}
    return {
        "type": "object",
        "properties": {"name": {"const": OUTPUT}, "parameters": parameters},
        "required": ["name"],
    }
