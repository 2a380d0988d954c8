"""The routes."""

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
from wgan.serving.http_errors import HTTPError, refuse
from wgan.serving.request_limits import RequestLimits
from wgan.serving.service import Service
from wgan.serving.settings import Settings

PAGE = {f"/{name}": content for name, content in demo.files("server").items()}
PAGE["/"] = PAGE.pop("/index.html")
HEALTH = ("/v2/health/live", "/v2/health/ready")

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src 'self' data: blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""What a browser lets the page do: nothing that leaves this server."""


def build(service: Service, settings: Settings, token: str | None = None) -> ASGIApp:
    """The whole application.

    Args:
        service: Answers.
        settings: The bounds.
        token: That clients must have, if they need one.
    """

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        service.batcher.start()
        yield
        await service.batcher.stop()

    app = FastAPI(
        title="wgan serve",
        version=version("wgan"),
        summary="Images from a trained generator.",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        responses=schema.REFUSALS,
    )
    app.add_exception_handler(InputError, lambda _, error: refuse(400, str(error)))
    app.add_exception_handler(HTTPError, _refused)
    app.add_exception_handler(Exception, lambda *_: refuse(500, "The server failed; see its log."))
    app.add_exception_handler(HTTPException, _unknown)
    _add_protocol(app, service, settings)  # first, for routes are tried one after the other
    _add_images(app, service)
    _add_page(app)
    return RequestLimits(
        app,
        body=settings.body,
        seconds=settings.seconds,
        requests=settings.requests,
        token=token,
        free={*PAGE, *HEALTH},
        tell=service.meters.answered,
        draining=lambda: service.draining,
    )


def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPError)
    return refuse(error.status, str(error), close=error.status == 413)


def _unknown(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        answer = refuse(405, "This address does not take this method.")
        answer.headers.update(error.headers or {})
        return answer
    return refuse(error.status_code, "There is nothing at this address; /openapi.json lists what there is.")


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


def _add_protocol(app: FastAPI, service: Service, settings: Settings) -> None:
    for prefix in ("/v2/models/{model}", "/v2/models/{model}/versions/{number}"):
        _add_model(app, prefix, service, settings)

    @app.get("/v2", tags=["protocol"])
    async def server() -> dict[str, Any]:
        """What this server is."""
        return {"name": "wgan", "version": version("wgan"), "extensions": ["binary_tensor_data"]}

    @app.get("/v2/health/live", tags=["protocol"], **schema.answers())
    async def live() -> Response:
        """Whether the process answers."""
        return Response()

    @app.get("/v2/health/ready", tags=["protocol"], **schema.answers())
    async def ready() -> Response:
        """Whether it will answer the next request."""
        return _readiness(service)


def _add_model(app: FastAPI, prefix: str, service: Service, settings: Settings) -> None:
    @app.get(prefix, tags=["protocol"], **schema.model_path(prefix))
    async def metadata(request: Request) -> dict[str, Any]:
        """What the generator takes and gives."""
        _check_model(request)
        return service.form.metadata()

    @app.get(f"{prefix}/ready", tags=["protocol"], **schema.model_path(prefix), **schema.answers())
    async def model_ready(request: Request) -> Response:
        """Whether the generator will answer the next request."""
        _check_model(request)
        return _readiness(service)

    @app.post(f"{prefix}/infer", tags=["protocol"], **schema.inference(prefix, service.form))
    async def infer(request: Request) -> Response:
        """Samples of latents, as JSON or as raw bytes."""
        body = await _body(request, settings.body)
        _check_model(request)
        asked = protocol.read(body, request.headers.get(protocol.LENGTH), service.form)
        samples = await service.batcher(asked.latents, asked.labels)
        answer, head = protocol.write(samples, asked)
        if head is None:
            return Response(answer, media_type="application/json")
        return Response(answer, 200, {protocol.LENGTH: str(head)}, "application/octet-stream")


def _readiness(service: Service) -> Response:
    return Response() if service.ready else refuse(503, "This server is about to end.")


def _check_model(request: Request) -> None:
    model, number = request.path_params["model"], request.path_params.get("number", protocol.VERSION)
    if model != protocol.NAME or number != protocol.VERSION:
        raise HTTPError(
            404, f"There is one model, {protocol.NAME!r}, and one version of it, {protocol.VERSION!r}."
        )


# ------------------------------------------------------------------------- images and meters


def _add_images(app: FastAPI, service: Service) -> None:
    @app.post("/v1/images", tags=["images"], **schema.images(service.form, service.description["classes"]))
    async def images(request: Request) -> Response:
        """An image, a grid of images or a zip of them; the same seed gives the same."""
        order = service.read(protocol.load_json(await request.body()))
        return Response(await service.draw(order), media_type=MEDIA[order.format])

    @app.get("/v1/model", tags=["images"])
    async def model() -> dict[str, Any]:
        """What the page has to know of the generator."""
        return service.description

    @app.get("/metrics", tags=["meters"], **schema.answers({"text/plain": {"schema": {"type": "string"}}}))
    async def meters() -> Response:
        """What happened so far, for Prometheus."""
        return Response(service.meters.read(), media_type="text/plain; version=0.0.4")


async def _body(request: Request, most: int) -> bytes:
    body = await request.body()
    packed = request.headers.get("content-encoding", "identity")
    if packed == "identity":
        return body
    if packed not in ("gzip", "deflate"):
        raise HTTPError(415, "A body may be packed by gzip or deflate, or not at all.")
    unpack = zlib.decompressobj(31 if packed == "gzip" else 15)
    try:
        whole = unpack.decompress(body, most + 1)
    except zlib.error:
        raise InputError(f"The body is not packed by {packed}, as its header says.") from None
    if len(whole) > most:
        raise HTTPError(413, f"A request's body may have {most} bytes, unpacked too; ask for less at once.")
    if not unpack.eof:
        raise InputError(f"The body, packed by {packed}, is cut off.")
    return whole
