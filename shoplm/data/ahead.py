"""Read ahead: the next chunk is made in a thread of its own while the last one is being taken in.

Only worth it where the making is done outside Python, as DuckDB and Arrow do it.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Generator, Iterator
from typing import TypeVar

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
