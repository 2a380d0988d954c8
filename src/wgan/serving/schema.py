"""OpenAPI schemas of paths and bodies that the routes parse themselves."""

from collections.abc import Sequence
from typing import Any

from starlette.responses import Response

from wgan.image_requests import MEDIA
from wgan.serving.protocol import LARGEST, LENGTH, NAME, OUTPUT, TYPES, VERSION, ModelSignature

Plain = dict[str, Any]

_BYTES: Plain = {"schema": {"type": "string", "format": "binary"}}
_ERROR: Plain = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
    "additionalProperties": False,
}
_MEANINGS = {
    400: "The request is invalid; the sentence says why.",
    401: "The token is missing or wrong.",
    404: "There is nothing at this address.",
    408: "The request was not complete in time.",
    413: "The body is too large.",
    415: "The body has an unknown encoding.",
    503: "The server is busy; Retry-After says when to try again.",
}

ERROR_RESPONSES: dict[int | str, Plain] = {
    status: {"description": meaning, "content": {"application/json": {"schema": _ERROR}}}
    for status, meaning in _MEANINGS.items()
}
"""Error responses of all routes."""


def responses(content: Plain | None = None, *, description: str = "OK.") -> Plain:
    """Schema of a route whose response is not JSON by FastAPI."""
    good: Plain = {"description": description} | ({} if content is None else {"content": content})
    return {"response_class": Response, "responses": {200: good}}


def model_path(prefix: str) -> Plain:
    """Schema of the path parameters of one model."""
    known = {"model": NAME, "number": VERSION}
    named = [name for name in known if f"{{{name}}}" in prefix]
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string", "enum": [known[name]]}}
        for name in named
    ]
    return {"openapi_extra": {"parameters": parameters}}


def images(signature: ModelSignature, classes: Sequence[str] | None) -> Plain:
    """Schema of the image route."""
    label: Plain = {"type": "null"}
    if classes is not None:
        number = {"type": "integer", "minimum": 0, "maximum": len(classes) - 1}
        label = {"anyOf": [number, {"type": "string", "enum": list(classes)}, label]}
    request = {
        "type": "object",
        "properties": {
            "seed": {"type": "integer", "minimum": 0, "maximum": 2**64 - 1, "default": 0},
            "count": {"type": "integer", "minimum": 1, "maximum": signature.max_samples, "default": 1},
            "label": label,
            "truncation": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "default": 1},
            "format": {"type": "string", "enum": list(MEDIA), "default": "png"},
        },
        "additionalProperties": False,
    }
    body = {"required": True, "content": {"application/json": {"schema": request}}}
    good = responses(dict.fromkeys(MEDIA.values(), _BYTES), description="The images.")
    return good | {"openapi_extra": {"requestBody": body}}


def inference(prefix: str, signature: ModelSignature) -> Plain:
    """Schema of the protocol's inference route."""
    names = ["latents"] if signature.classes is None else ["latents", "labels"]
    request = {
        "type": "object",
        "properties": {
            "id": {"type": "string", "maxLength": 256},
            "parameters": {"type": "object"},
            "inputs": {
                "type": "array",
                "items": {"anyOf": [_input(name, signature) for name in names]},
                "minItems": len(names),
                "maxItems": len(names),
            },
            "outputs": {"type": "array", "items": _output(), "maxItems": 1},
        },
        "required": ["inputs"],
    }
    length = {"name": LENGTH, "in": "header", "schema": {"type": "integer", "minimum": 1}}
    content = {"application/json": {"schema": request}, "application/octet-stream": _BYTES}
    good = responses({"application/json": {"schema": {"type": "object"}}, "application/octet-stream": _BYTES})
    extra = model_path(prefix)["openapi_extra"]
    extra["parameters"].append(length)
    return good | {"openapi_extra": extra | {"requestBody": {"required": True, "content": content}}}


def _input(name: str, signature: ModelSignature) -> Plain:
    sides: list[Plain] = [{"type": "integer", "minimum": 1, "maximum": signature.max_samples}]
    number: Plain = {"type": "integer", "minimum": 0, "maximum": (signature.classes or 1) - 1}
    if name == "latents":
        sides.append({"const": signature.latent_dim})
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
