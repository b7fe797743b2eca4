"""Serves an image classifier over HTTP, in batches.

python -m examples.serving.server --runtime qnative --port 8000

POST /classify   body: 224 * 224 * 3 bytes, [height, width, RGB] -> {"class": 504, "logit": 9.3}
GET  /health     200 as soon as it serves
"""

import argparse
import os
from collections.abc import AsyncIterator
from pathlib import Path

from aiohttp import web

from examples.efficientnet.demo import silence
from examples.serving.batcher import Batcher
from examples.serving.runtimes import IMAGE_BYTES, RUNTIMES, Run

BATCHER = web.AppKey("batcher", Batcher)


async def classify(request: web.Request) -> web.Response:
    image = await request.read()
    if len(image) != IMAGE_BYTES:
        raise web.HTTPBadRequest(text=f"the body must be {IMAGE_BYTES} bytes, got {len(image)}\n")
    logits = await request.app[BATCHER](image)
    best = int(logits.argmax())
    return web.json_response({"class": best, "logit": float(logits[best])})


async def health(request: web.Request) -> web.Response:
    return web.Response(text="ok\n")


def application(runs: list[Run], max_batch: int = 8, deadline: float = 0.002) -> web.Application:
    async def batcher(app: web.Application) -> AsyncIterator[None]:
        app[BATCHER] = Batcher(runs, max_batch, deadline)
        yield
        await app[BATCHER].close()

    app = web.Application()
    app.cleanup_ctx.append(batcher)
    app.router.add_post("/classify", classify)
    app.router.add_get("/health", health)
    return app


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runtime", choices=RUNTIMES, default="qnative")
    parser.add_argument("--folder", type=Path, default=Path("build/serving"), help="of the models")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--max-batch", type=int, default=8)
    parser.add_argument("--deadline-ms", type=float, default=2)
    args = parser.parse_args()
    silence()
    runtime = RUNTIMES[args.runtime]
    runs = runtime.runs(runtime.prepare(args.folder), args.workers)
    app = application(runs, args.max_batch, args.deadline_ms * 1e-3)
    web.run_app(app, host="127.0.0.1", port=args.port, access_log=None)


if __name__ == "__main__":
    main()
