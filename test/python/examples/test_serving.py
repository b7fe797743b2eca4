"""examples/serving: batches, and the servers in Python and C++ on loopback."""

import asyncio
import contextlib
import subprocess
import threading
import urllib.error
import urllib.request

import numpy as np
import pytest
import torch
from aiohttp import test_utils
from torch import nn

import qnative
from examples.efficientnet import cpp_program
from examples.serving import load
from examples.serving.batcher import Batcher
from examples.serving.runtimes import IMAGE_BYTES, SIZE, network_input, qnative_runs
from examples.serving.server import application

WORKERS = 2


def gather(runs, items, **options):
    """The results of requests that arrive together; errors as values."""

    async def run():
        batcher = Batcher(runs, **options)
        try:
            return await asyncio.gather(*map(batcher, items), return_exceptions=True)
        finally:
            await batcher.close()

    return asyncio.run(run())


def test_batches_take_what_waits():
    batches = []

    def double(items):
        batches.append(items)
        return [2 * item for item in items]

    results = gather([double], range(10), max_batch=4, deadline=0.05)
    assert results == [2 * i for i in range(10)]
    assert batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


def test_a_batch_waits_for_its_deadline():
    batches = []

    async def run():
        batcher = Batcher([lambda items: batches.append(items) or items], deadline=5, max_batch=2)
        first = asyncio.create_task(batcher("a"))
        await asyncio.sleep(0.01)
        assert await batcher("b") == "b"
        assert await first == "a"
        await batcher.close()

    asyncio.run(run())
    assert batches == [["a", "b"]]


def test_workers_run_at_the_same_time():
    both = threading.Barrier(2, timeout=20)

    def meet(items):
        both.wait()
        return items

    assert gather([meet, meet], "ab", max_batch=1) == ["a", "b"]


def test_an_error_reaches_its_batch_and_no_other():
    def refuse(items):
        if 3 in items:
            raise ValueError("no 3")
        return items

    results = gather([refuse], range(6), max_batch=2)
    assert results[:2] == [0, 1]
    assert results[4:] == [4, 5]
    assert [str(each) for each in results[2:4]] == ["no 3", "no 3"]


def test_too_few_results_are_an_error():
    (error,) = gather([lambda items: []], [1])
    assert isinstance(error, ValueError)


def test_a_cancelled_request_leaves_the_others():
    async def run():
        batcher = Batcher([lambda items: items], deadline=0.2)
        gone = asyncio.create_task(batcher("gone"))
        stays = asyncio.create_task(batcher("stays"))
        await asyncio.sleep(0.01)
        gone.cancel()
        assert await stays == "stays"
        with pytest.raises(asyncio.CancelledError):
            await gone
        await batcher.close()

    asyncio.run(run())


def test_close_cancels_what_waits():
    async def run():
        batcher = Batcher([lambda items: items], deadline=60)
        waiting = asyncio.create_task(batcher(1))
        await asyncio.sleep(0.01)
        await batcher.close()
        with pytest.raises(asyncio.CancelledError):
            await waiting

    asyncio.run(run())


@pytest.mark.parametrize(
    "options", [{"runs": []}, {"max_batch": 0}, {"deadline": -1}], ids=lambda o: next(iter(o))
)
def test_bad_options(options):
    with pytest.raises(ValueError, match=r"got [01] runs, [08] and [-0]"):
        Batcher(**{"runs": [list]} | options)


class Tiny(nn.Module):
    """1000 logits of an image."""

    def __init__(self):
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 16, 8, stride=8), nn.Linear(16, 1000)

    def forward(self, x):
        return self.head(torch.relu(self.conv(x)).mean((2, 3)))


@pytest.fixture(scope="module")
def images():
    g = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (5, SIZE, SIZE, 3), dtype=torch.uint8, generator=g)
    pixels //= torch.tensor([1, 2, 3, 4, 5], dtype=torch.uint8)[:, None, None, None]
    return [image.numpy().tobytes() for image in pixels]


@pytest.fixture(scope="module")
def model(images, tmp_path_factory):
    torch.manual_seed(0)
    x = torch.from_numpy(network_input(images))
    quantized = qnative.quantize(Tiny().eval(), (x,), [x])
    path = tmp_path_factory.mktemp("serving") / "tiny.pt2"
    qnative.save(quantized, path, (x[:1],))
    return path


@pytest.fixture(scope="module")
def answers(model, images):
    """The class and the logit of each image, alone."""
    (run,) = qnative_runs(model, 1)
    rows = np.concatenate([run([image]) for image in images])
    return [{"class": int(row.argmax()), "logit": float(row.max())} for row in rows]


def test_python_server(model, images, answers):
    async def run():
        app = application(qnative_runs(model, WORKERS), deadline=0.02)
        async with test_utils.TestClient(test_utils.TestServer(app)) as client:
            assert await (await client.get("/health")).text() == "ok\n"

            async def classify(image):
                async with client.post("/classify", data=image) as answer:
                    return await answer.json()

            assert await asyncio.gather(*map(classify, images)) == answers
            async with client.post("/classify", data=b"short") as answer:
                assert answer.status == 400
                assert await answer.text() == f"the body must be {IMAGE_BYTES} bytes, got 5\n"

    asyncio.run(run())


@pytest.fixture(scope="module")
def cpp_server(tmp_path_factory):
    return cpp_program.build(tmp_path_factory.mktemp("server"), load.SOURCE) / "server"


def test_cpp_server(cpp_server, model, images, answers):
    port = load.free_port()
    url = f"http://127.0.0.1:{port}"
    with load.running([str(cpp_server), str(model), str(port), str(WORKERS)], url):
        row = asyncio.run(load.measure(url, images, clients=3, seconds=0.2))
        assert row["per_second"] > 0
        assert row["p50_ms"] <= row["p99_ms"]
        for image, wanted in zip(images, answers, strict=True):
            request = urllib.request.Request(url + "/classify", image, {"Content-Type": "image/x"})
            with urllib.request.urlopen(request) as answer:
                got = answer.read().decode()
            assert got == '{{"class": {class}, "logit": {logit:.9g}}}'.format(**wanted)
        short = urllib.request.Request(url + "/classify", b"short", {"Content-Type": "image/x"})
        with pytest.raises(urllib.error.HTTPError) as error:
            urllib.request.urlopen(short)
        assert error.value.read().decode() == f"the body must be {IMAGE_BYTES} bytes, got 5\n"


def test_cpp_server_refuses(cpp_server, model, tmp_path):
    def error_of(*arguments):
        done = subprocess.run([cpp_server, *arguments], capture_output=True, text=True)
        assert done.returncode in (1, 2)
        return done.stderr

    assert error_of() == "usage: server model.pt2 [port] [workers]\n"
    assert "port must be in [1, 65535]" in error_of(model, "0")
    assert "absent.pt2" in error_of(tmp_path / "absent.pt2", "8000")
    with contextlib.closing(load.socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        assert f"port {port} cannot be opened" in error_of(model, str(port))


def test_a_server_that_stops_is_an_error(cpp_server, tmp_path):
    with (
        pytest.raises(RuntimeError, match="stopped with code 1"),
        load.running([str(cpp_server), str(tmp_path / "absent.pt2")], "http://127.0.0.1:1"),
    ):
        pass
