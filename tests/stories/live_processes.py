"""What runs in the second processes of the store's stories, until it is killed."""

from multiprocessing.connection import Connection

from shoplm.data.drain import drain
from shoplm.data.records import Act
from shoplm.data.shop import Shop
from shoplm.data.store import Store

NOW_US = 1_750_000_000_000_000


def write(folder: str, url: str | None, life: str, said: Connection) -> None:
    """Store acts one by one, and name each once it is acknowledged."""
    store = Store(folder, url)
    said.send("ready")
    for n in range(10**9):
        act = Act(f"{life}-{n}", NOW_US + n, "view_item", user_id=f"u{n % 5}")
        store.put(act)
        said.send(act.event_id)
        if n % 7 == 6:  # a client that got no answer asks again
            store.put(act)


def move(folder: str, url: str | None, life: str, said: Connection) -> None:
    """Drain without end, and say that each drain is done."""
    store, shop = Store(folder, url), Shop(folder)
    said.send("ready")
    while True:
        drain(store, shop, most=300)
        said.send(life)
