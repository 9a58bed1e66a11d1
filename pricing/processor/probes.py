"""The processor's own small HTTP side: liveness, readiness and metrics."""

from __future__ import annotations

from prometheus_client import exposition
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from pricing.metrics.processor import ProcessorMetrics
from pricing.processor.processor import ZoneProcessor


def create_probes(processor: ZoneProcessor, metrics: ProcessorMetrics) -> Starlette:
    """`/health`, `/health/live`, `/health/ready` and `/metrics` of a processor.

    Ready means that it works, with or without partitions: a spare one waits for its turn. One
    that holds partitions and makes no tick is degraded: its input is away, or far behind.
    """

    async def health(request: Request) -> Response:
        reasons = processor.troubles()
        is_probe = request.url.path.rstrip("/").endswith("/ready")
        return JSONResponse(
            {
                "status": "degraded" if reasons else "healthy",
                "reasons": reasons,
                "partitions": sorted(processor.slots),
                "last_tick_ms": processor.last_tick_ms,
            },
            status_code=503 if reasons and is_probe else 200,
        )

    async def expose(request: Request) -> Response:
        encode, media_type = exposition.choose_encoder(request.headers.get("accept", ""))
        return Response(encode(metrics.registry), headers={"Content-Type": media_type})

    paths = ("/health", "/health/live", "/health/ready")
    routes = [Route(f"{path}{slash}", health) for path in paths for slash in ("", "/")]
    return Starlette(routes=[*routes, Route("/metrics", expose)])
