"""Read ahead: the next chunks are made in threads of their own while the last one is being taken in.

Only worth it where the making is done outside Python, as DuckDB and Arrow do it.
"""

from __future__ import annotations

import collections
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

S = TypeVar("S")
T = TypeVar("T")


def ahead(values: Iterator[T], depth: int = 2) -> Generator[T, None, None]:
    """The same values in the same order, at most ``depth`` of them made before they are asked for.

    An error of ``values`` is raised where its value would have come. A reader that leaves early stops the thread.
    """
    found: queue.Queue[tuple[T | None, BaseException | None, bool]] = queue.Queue(depth)
    left = threading.Event()

    def hand_over(value: T | None, error: BaseException | None, last: bool) -> None:
        while not left.is_set():
            try:
                found.put((value, error, last), timeout=0.1)
            except queue.Full:
                continue
            return

    def make() -> None:
        try:
            for value in values:
                hand_over(value, None, False)
                if left.is_set():
                    return
        except BaseException as error:  # handed over, and raised by the reader
            hand_over(None, error, True)
        else:
            hand_over(None, None, True)

    maker = threading.Thread(target=make, name="shoplm-ahead", daemon=True)
    maker.start()
    try:
        while True:
            value, error, last = found.get()
            if error is not None:
                raise error
            if last:
                return
            yield value  # type: ignore[misc]
    finally:
        left.set()
        maker.join()


def spread(work: Callable[[S], T], values: Iterator[S], workers: int = 2) -> Generator[T, None, None]:
    """``work`` of each value in the same order, by so many threads, each at most one value ahead.

    An error is raised where its value would have come. A reader that leaves early waits for the work in hand alone.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="shoplm-spread") as pool:
        waiting: collections.deque[Future[T]] = collections.deque()
        try:
            for value in values:
                waiting.append(pool.submit(work, value))
                if len(waiting) > workers:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
