"""Forms batches of requests that arrive at the same time."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


class Batcher(Generic[Item, Result]):
    """``await batcher(item)`` is the result of ``item``, computed together with others.

    A batch begins with a request and takes those that wait or arrive within ``deadline`` seconds,
    up to ``max_batch``. Each of the workers has a thread, in which it computes one batch after the
    other.

    runs: one function for each worker, from a list of items to as many results. If it raises, all
    requests of the batch do.
    """

    def __init__(
        self,
        runs: Sequence[Callable[[list[Item]], Sequence[Result]]],
        max_batch: int = 8,
        deadline: float = 0.002,
    ):
        if not runs or max_batch < 1 or deadline < 0:
            raise ValueError(
                "Batcher: wanted one run or more, max_batch >= 1 and deadline >= 0, got "
                f"{len(runs)} runs, {max_batch} and {deadline}"
            )
        self._max_batch, self._deadline = max_batch, deadline
        self._queue: asyncio.Queue[tuple[Item, asyncio.Future[Result]]] = asyncio.Queue()
        self._threads = ThreadPoolExecutor(len(runs), "worker")
        self._workers = [asyncio.create_task(self._work(run)) for run in runs]

    async def __call__(self, item: Item) -> Result:
        future = asyncio.get_running_loop().create_future()
        self._queue.put_nowait((item, future))
        return await future

    async def close(self) -> None:
        """Requests that still wait are cancelled."""
        for worker in self._workers:
            worker.cancel()
        await asyncio.gather(*self._workers, return_exceptions=True)
        while not self._queue.empty():
            self._queue.get_nowait()[1].cancel()
        self._threads.shutdown()

    async def _fill(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        batch.append(await self._queue.get())
        loop = asyncio.get_running_loop()
        end = loop.time() + self._deadline
        while len(batch) < self._max_batch:
            if not self._queue.empty():
                batch.append(self._queue.get_nowait())
            elif (left := end - loop.time()) > 0:
                with contextlib.suppress(asyncio.TimeoutError):
                    batch.append(await asyncio.wait_for(self._queue.get(), left))
            else:
                break

    async def _work(self, run: Callable[[list[Item]], Sequence[Result]]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            batch: list[tuple[Item, asyncio.Future[Result]]] = []
            try:
                await self._fill(batch)
                items = [item for item, _ in batch]
                results = await loop.run_in_executor(self._threads, run, items)
                for (_, future), result in zip(batch, results, strict=True):
                    if not future.done():  # its request may have been cancelled
                        future.set_result(result)
            except asyncio.CancelledError:
                for _, future in batch:
                    future.cancel()
                raise
            except Exception as error:
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
