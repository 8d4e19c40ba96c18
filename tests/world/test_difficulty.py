"""The texts are neither trivial nor noise: a linear model over counted words lands in between."""

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score
from sklearn.svm import LinearSVC

from shoplm.world.reviews import mood_of
from shoplm.world.sample import tables
from shoplm.world.settings import WorldConfig


def score(texts, labels):
    cut = len(texts) * 4 // 5
    words = TfidfVectorizer(sublinear_tf=True, ngram_range=(1, 2))
    model = LinearSVC(C=1.0, class_weight="balanced").fit(words.fit_transform(texts[:cut]), labels[:cut])
    return f1_score(labels[cut:], model.predict(words.transform(texts[cut:])), average="macro")


def test_counted_words_find_some_of_the_moods_and_intents_and_not_all():
    shop = tables(WorldConfig(shoppers=160, products=120, weeks=26))
    order = np.random.default_rng(0).permutation
    reviews = [row for row in shop["reviews"].to_pylist() if row["body"] and row["rating"] <= 5]
    reviews = [reviews[i] for i in order(len(reviews))]
    found = score([f"{row['title'] or ''} {row['body']}" for row in reviews], [mood_of(row["rating"]) for row in reviews])
    assert 0.45 < found < 0.85
    turns = [row for row in shop["chats"].to_pylist() if row["intent"]]
    turns = [turns[i] for i in order(len(turns))]
    assert 0.4 < score([row["content"] for row in turns], [row["intent"] for row in turns]) < 0.95
