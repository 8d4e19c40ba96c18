"""Search: queries of a real shop against its titles, by words, by meaning and by both, beside ``bm25s`` and TF-IDF; and how long a query takes.

Home Depot's rated pairs as a retrieval task: all products that were rated for a validation or test query are ranked for each test query; a
pair rated 2.33 of 3 or better is right (recall), ratings count from 0 to 1 (NDCG). A product that nobody rated for a query counts as
wrong, so all figures are too low, for everybody alike. Settings were chosen on validation queries. Only titles are known.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.side_by_side import Json, Parts, child, data, must, paired_bootstrap, peak_mb, ratio, result, source_digest, table

RIGHT = 2.33
"""Mean rating from which a product is right for a query."""
AT = 10
LATENCY_PRODUCTS = 100_000
LATENCY_QUERIES = 200


def _rated(split: str) -> tuple[list[str], list[str], list[tuple[str, dict[int, float]]]]:
    """Product ids and titles, and for each query of a split the rating of each rated product."""
    import pyarrow.parquet as pq

    rows = pq.read_table(data("home_depot_relevance", "pairs.parquet")).to_pylist()
    titles = {str(row["product_id"]): row["product_title"] for row in rows if row["split"] in ("valid", "test")}
    ids = sorted(titles)
    place = {name: at for at, name in enumerate(ids)}
    asked: dict[str, dict[int, float]] = {}
    for row in rows:
        if row["split"] == split:
            asked.setdefault(row["query"], {})[place[str(row["product_id"])]] = float(row["relevance"])
    return (
        ids,
        [titles[name] for name in ids],
        [(query, told) for query, told in asked.items() if any(one >= RIGHT for one in told.values())],
    )


def _measured(listed: Callable[[str], Sequence[int]], asked: Sequence[tuple[str, dict[int, float]]]) -> npt.NDArray[np.float64]:
    """(queries, 2) recall and NDCG at 10."""
    found = np.zeros((len(asked), 2))
    discount = 1 / np.log2(np.arange(AT) + 2)
    for row, (query, told) in enumerate(asked):
        top = list(listed(query))[:AT]
        right = {at for at, rating in told.items() if rating >= RIGHT}
        gains = sorted(((rating - 1) / 2 for rating in told.values()), reverse=True)[:AT]
        found[row, 0] = len(right & set(top)) / min(AT, len(right))
        got = np.array([(told.get(at, 1.0) - 1) / 2 for at in top])
        found[row, 1] = (got @ discount[: len(got)]) / (np.array(gains) @ discount[: len(gains)])
    return found


def judge(job: Mapping[str, Any]) -> Json:
    """Every side on the same queries, as a job."""
    import bm25s
    from sklearn.feature_extraction.text import TfidfVectorizer

    from shoplm.apps.search import Products, SearchConfig, find
    from shoplm.pipeline.meaning import Close, reader, told
    from shoplm.retrieve.index import VectorIndex
    from shoplm.retrieve.lexical import Field, Lexical, LexicalConfig

    ids, titles, asked = _rated(job["split"])
    if job["most"]:  # a small shop, for a quick look that the benchmark runs
        kept = sorted({at for _, rated in asked[: job["most"]] for at in rated})
        place = {at: new for new, at in enumerate(kept)}
        asked = [(query, {place[at]: one for at, one in rated.items()}) for query, rated in asked[: job["most"]]]
        ids, titles = [ids[at] for at in kept], [titles[at] for at in kept]
    begin = time.process_time()
    # an id is no word of the query here: nobody types these numbers, and some queries hold a number that is one
    words = Lexical.of([titles], [], LexicalConfig(fields={"title": Field()}))
    seconds = {"words": time.process_time() - begin}
    begin = time.process_time()
    by = reader()
    index = VectorIndex.of(ids, by.read([told(title, "", "", "") for title in titles]))
    seconds["meaning"] = time.process_time() - begin
    products, open_ = Products(ids, titles, words), np.ones(len(ids), bool)
    vectors = {query: by.query(query) for query, _ in asked}

    def ours(query: str, *, meaning: bool) -> list[int]:
        near = Close(index, vectors[query], ids) if meaning else None
        return [hit.row for hit in find(products, query, open_, near=near, k=AT, config=SearchConfig()).hits]

    row_of = {name: at for at, name in enumerate(ids)}
    peer = bm25s.BM25()
    peer.index(bm25s.tokenize(titles, stopwords="en", show_progress=False), show_progress=False)

    def theirs(query: str) -> list[int]:
        tokens = bm25s.tokenize([query], stopwords="en", show_progress=False)
        rows, scores = peer.retrieve(tokens, k=AT, show_progress=False)
        return [int(row) for row, score in zip(rows[0], scores[0], strict=True) if score > 0]

    tfidf = TfidfVectorizer(sublinear_tf=True)
    matrix = tfidf.fit_transform(titles)

    def plain(query: str) -> list[int]:
        said = (matrix @ tfidf.transform([query]).T).toarray()[:, 0]
        return [int(at) for at in np.argsort(-said, kind="stable")[:AT] if said[at] > 0]

    sides: dict[str, Callable[[str], Sequence[int]]] = {
        "fused": lambda query: ours(query, meaning=True),
        "words": lambda query: ours(query, meaning=False),
        "meaning": lambda query: [row_of[name] for name, _ in index.nearest(vectors[query], AT)[0]],
        "bm25s": theirs,
        "tfidf": plain,
    }
    found = {name: _measured(side, asked).tolist() for name, side in sides.items()}
    return {"queries": len(asked), "products": len(ids), "cpu_seconds": seconds, "how": index.how, "peak_mb": peak_mb(), "found": found}


def latency(job: Mapping[str, Any]) -> Json:
    """CPU and wall time of a query over many products, as a job: titles of the same shop, again and again under new ids; vectors drawn."""
    import bm25s

    from shoplm.apps.search import Products, SearchConfig, find
    from shoplm.pipeline.meaning import Close, reader
    from shoplm.retrieve.index import VectorIndex
    from shoplm.retrieve.lexical import Field, Lexical, LexicalConfig

    _, titles, asked = _rated("valid")
    n = job["products"]
    many = [f"{titles[at % len(titles)]} model {at}" for at in range(n)]
    ids = [f"{at:08d}" for at in range(n)]
    begin = time.process_time()
    words = Lexical.of([many], [ids], LexicalConfig(fields={"title": Field()}))
    built = time.process_time() - begin
    vectors = np.random.default_rng(0).normal(size=(n, 384)).astype(np.float32)
    index, by = VectorIndex.of(ids, vectors), reader()
    products, open_ = Products(ids, many, words), np.ones(n, bool)
    queries = [query for query, _ in asked[: job["queries"]]]
    peer = bm25s.BM25()
    peer.index(bm25s.tokenize(many, stopwords="en", show_progress=False), show_progress=False)

    def one(query: str, meaning: bool) -> None:
        near = Close(index, by.query(query), ids) if meaning else None
        find(products, query, open_, near=near, config=SearchConfig())

    def theirs(query: str) -> None:
        peer.retrieve(bm25s.tokenize([query], stopwords="en", show_progress=False), k=AT, show_progress=False)

    found: Json = {"index_cpu_seconds": round(built, 2), "how": index.how, "peak_mb": peak_mb(), "products": n}
    for name, side in (("words", lambda q: one(q, False)), ("fused", lambda q: one(q, True)), ("bm25s", theirs)):
        side(queries[0])
        cpu, wall = [], []
        for query in queries:
            start = (time.process_time(), time.perf_counter())
            side(query)
            cpu.append((time.process_time() - start[0]) * 1000)
            wall.append((time.perf_counter() - start[1]) * 1000)
        found[name] = {
            kind: {f"p{share}": round(float(np.percentile(took, share)), 2) for share in (50, 95)}
            for kind, took in (("cpu_ms", cpu), ("wall_ms", wall))
        }
    return found


def main(arguments: Sequence[str] = (), *, quick: bool = False) -> Json:
    """Measure both."""
    reader = argparse.ArgumentParser(prog="benchmarks search", description=__doc__)
    reader.add_argument("--fresh", action="store_true")
    options = reader.parse_args(list(arguments))
    begin = time.perf_counter()
    parts = Parts("search", fresh=options.fresh, keep=not quick)
    sources = source_digest("shoplm/retrieve", "shoplm/apps/search.py", "shoplm/pipeline/meaning.py")
    job = {"split": "valid" if quick else "test", "most": 100 if quick else 0}
    run = parts.take("judge", {**job, "sources": sources}, lambda: must(child("benchmarks.search:judge", job)))
    speed_job = {"products": 10_000 if quick else LATENCY_PRODUCTS, "queries": 50 if quick else LATENCY_QUERIES}
    speed = parts.take("latency", {**speed_job, "sources": sources}, lambda: must(child("benchmarks.search:latency", speed_job)))
    found = {name: np.array(rows) for name, rows in run["found"].items()}
    metrics = ("recall_at_10", "ndcg_at_10")
    quality: Json = {name: {metric: float(rows[:, at].mean()) for at, metric in enumerate(metrics)} for name, rows in found.items()}
    minus = {
        f"{one} - {other}": {metric: paired_bootstrap(found[one][:, at], found[other][:, at]) for at, metric in enumerate(metrics)}
        for one, other in (("fused", "words"), ("fused", "bm25s"), ("words", "bm25s"), ("fused", "meaning"))
    }
    holds = {f"{name}: {metric} above 0": told[metric]["low"] > 0 for name, told in minus.items() for metric in metrics}
    rows = [[name, *(f"{quality[name][metric]:.4f}" for metric in metrics)] for name in found]
    table(f"home depot, {job['split']}: {run['queries']:,} queries, {run['products']:,} titles", ["side", "R@10", "N@10"], rows)
    spoken = [
        [name, speed[name]["cpu_ms"]["p50"], speed[name]["cpu_ms"]["p95"], speed[name]["wall_ms"]["p50"]]
        for name in ("words", "fused", "bm25s")
    ]
    table(f"a query over {speed['products']:,} products", ["side", "CPU p50 ms", "CPU p95 ms", "wall p50 ms"], spoken)
    ours = {"judged": {key: run[key] for key in ("queries", "products", "cpu_seconds", "how", "peak_mb")}, "minus": minus, "latency": speed}
    faster = {"bm25s over words, CPU p50": ratio(speed["bm25s"]["cpu_ms"]["p50"], speed["words"]["cpu_ms"]["p50"])}
    peers = {name: quality[name] for name in ("bm25s", "tfidf")}
    return result("search", begin, quick=quick, ours=ours, peers=peers, ratio=faster, quality={**quality, "holds": holds})
