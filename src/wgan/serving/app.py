"""The routes of the server."""

import zlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.types import ASGIApp

from wgan import demo
from wgan.errors import InputError
from wgan.image_requests import MEDIA
from wgan.serving import protocol, schema
from wgan.serving.http_errors import HTTPError, error_response
from wgan.serving.request_limits import RequestLimits
from wgan.serving.service import Service
from wgan.serving.settings import ServerSettings

PAGE = {f"/{name}": content for name, content in demo.page_files("server").items()}
PAGE["/"] = PAGE.pop("/index.html")
HEALTH = ("/v2/health/live", "/v2/health/ready")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Content security policy of the page: no requests to other servers."""


def build_app(service: Service, settings: ServerSettings, token: str | None = None) -> ASGIApp:
    """The application for a service, with its limits and the token that clients need, if any."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        await service.batcher.stop()

    app = FastAPI(
        title="wgan serve",
        version=version("wgan"),
        summary="Images from a trained generator.",
        docs_url=None,  # that page loads scripts from other servers
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        responses=schema.ERROR_RESPONSES,
    )
    app.add_exception_handler(InputError, lambda _, error: error_response(400, str(error)))
    app.add_exception_handler(HTTPError, _http_error)
    app.add_exception_handler(Exception, lambda *_: error_response(500, "The server failed; see its log."))
    app.add_exception_handler(HTTPException, _no_route)
    _add_protocol(app, service, settings)  # first, since routes are tried in order
    _add_images(app, service)
    _add_page(app)
    return RequestLimits(
        app,
        settings=settings,
        token=token,
        free={*PAGE, *HEALTH},
        on_response=service.metrics.count_request,
        draining=lambda: service.draining,
    )


def _http_error(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPError)
    return error_response(error.status, str(error), close=error.status == 413)


def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        response = error_response(405, "This address does not support this method.")
        response.headers.update(error.headers or {})
        return response
    return error_response(
        error.status_code, "There is nothing at this address; /openapi.json lists all routes."
    )


# ------------------------------------------------------------------------------------- the page


def _add_page(app: FastAPI) -> None:
    for path, content in PAGE.items():
        app.add_api_route(path, _static(path, content), methods=["GET"], include_in_schema=False)


def _static(path: str, content: bytes) -> Any:  # noqa: ANN401 - a route
    media = demo.MEDIA[path[path.rfind(".") :] if "." in path else ".html"]
    headers = {
        "Content-Security-Policy": POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-cache",
    }

    async def answer() -> Response:
        return Response(content, 200, headers, media)

    return answer


# --------------------------------------------------------------- the Open Inference Protocol, V2


def _add_protocol(app: FastAPI, service: Service, settings: ServerSettings) -> None:
    for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/{number}"):
        _add_model(app, prefix, service, settings)

    @app.get("/v2", tags=["protocol"])
    async def server() -> dict[str, Any]:
        """Name and version of the server."""
        return {"name": "wgan", "version": version("wgan"), "extensions": ["binary_tensor_data"]}

    @app.get("/v2/health/live", tags=["protocol"], **schema.responses())
    async def live() -> Response:
        """Whether the process responds."""
        return Response()

    @app.get("/v2/health/ready", tags=["protocol"], **schema.responses())
    async def ready() -> Response:
        """Whether the server accepts requests."""
        return _readiness(service)


def _add_model(app: FastAPI, prefix: str, service: Service, settings: ServerSettings) -> None:
    @app.get(prefix, tags=["protocol"], **schema.model_path(prefix))
    async def metadata(request: Request) -> dict[str, Any]:
        """Inputs and outputs of the generator."""
        _check_model(request)
        return service.signature.metadata()

    @app.get(f"{prefix}/ready", tags=["protocol"], **schema.model_path(prefix), **schema.responses())
    async def model_ready(request: Request) -> Response:
        """Whether the generator accepts requests."""
        _check_model(request)
        return _readiness(service)

    @app.post(f"{prefix}/infer", tags=["protocol"], **schema.inference(prefix, service.signature))
    async def infer(request: Request) -> Response:
        """Samples for latents, as JSON or raw bytes."""
        body = await _body(request, settings.body)
        _check_model(request)
        length = request.headers.get(protocol.LENGTH)
        inference = protocol.parse_request(body, length, service.signature)
        samples = await service.batcher(inference.latents, inference.labels)
        content, head = protocol.encode_response(samples, inference)
        if head is None:
            return Response(content, media_type="application/json")
        return Response(content, 200, {protocol.LENGTH: str(head)}, "application/octet-stream")


def _readiness(service: Service) -> Response:
    return Response() if service.ready else error_response(503, "This server is about to end.")


def _check_model(request: Request) -> None:
    model, number = request.path_params["model"], request.path_params.get("number", protocol.VERSION)
    if model != protocol.NAME or number != protocol.VERSION:
        raise HTTPError(
            404, f"There is one model, {protocol.NAME!r}, and one version of it, {protocol.VERSION!r}."
        )


# ------------------------------------------------------------------------- images and metrics


def _add_images(app: FastAPI, service: Service) -> None:
    @app.post(
        "/v1/images", tags=["images"], **schema.images(service.signature, service.description["classes"])
    )
    async def images(request: Request) -> Response:
        """An image, a grid of images or a zip of images, determined by the seed."""
        parsed = service.parse(protocol.load_json(await request.body()))
        return Response(await service.draw(parsed), media_type=MEDIA[parsed.format])

    @app.get("/v1/model", tags=["images"])
    async def model() -> dict[str, Any]:
        """Description of the generator for the demo page."""
        return service.description

    @app.get("/metrics", tags=["metrics"], **schema.responses({"text/plain": {"schema": {"type": "string"}}}))
    async def metrics() -> Response:
        """Metrics for Prometheus."""
        return Response(service.metrics.export(), media_type="text/plain; version=0.0.4")


async def _body(request: Request, limit: int) -> bytes:
    body = await request.body()
    encoding = request.headers.get("content-encoding", "identity")
    if encoding == "identity":
        return body
    if encoding not in ("gzip", "deflate"):
        raise HTTPError(415, "The encoding of a body must be gzip, deflate or identity.")
    decompressor = zlib.decompressobj(31 if encoding == "gzip" else 15)
    try:
        whole = decompressor.decompress(body, limit + 1)
    except zlib.error:
        raise InputError(f"The body is not encoded by {encoding}, as its header says.") from None
    if len(whole) > limit:
        raise HTTPError(413, f"A request's body may have {limit} bytes, also decompressed; request less.")
    if not decompressor.eof:
        raise InputError(f"The body, encoded by {encoding}, is truncated.")
    return whole
