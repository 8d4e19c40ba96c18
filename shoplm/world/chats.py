"""Support chats: a question with its intent, mostly an answer, now and then a second question.

An intent is drawn first and worded by the grammar, then wrapped in what people say around it: greetings, the
past, orders and codes, thanks, and in many cases a second matter that is not the question. What stands around is
the same for all intents. About 6 % of the questions are no business of a shop; their intent is ``oos``. About 3 % of
the others stand under a wrong intent, as in every real help desk.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shoplm.world.catalogue import CATEGORIES, START_US, Product
from shoplm.world.grammar import Grammar, pick, pick_weighted
from shoplm.world.shoppers import DAYS, SECOND_US, Event, Shopper
from shoplm.world.speech import Grammars, Language, asks, draw_hand, reworded, written

INTENTS: Mapping[str, float] = {
    "track_order": 3.2,
    "cancel_order": 1.5,
    "return_item": 2.2,
    "exchange_item": 1.3,
    "refund_status": 2.0,
    "wrong_item": 0.7,
    "missing_item": 0.7,
    "damaged_item": 1.2,
    "size_advice": 1.3,
    "stock_question": 1.2,
    "product_question": 1.3,
    "compare_products": 0.5,
    "delivery_options": 1.2,
    "price_match": 0.5,
    "coupon_problem": 0.9,
    "payment_failed": 1.1,
    "invoice_request": 0.5,
    "gift_card": 0.5,
    "loyalty_points": 0.5,
    "change_address": 0.9,
    "account_login": 1.0,
    "newsletter": 0.5,
    "warranty": 0.8,
    "talk_to_human": 0.6,
}
"""The intents of the shop and how often each is met, beside 1 for an ordinary one."""
OUT_OF_SCOPE = "oos"
OUT_OF_SCOPE_SHARE = 0.06
DISTRACTIONS = 0.4
"""Share of questions that also speak of a matter that is not the question."""
SLIP_OF_LABEL = 0.03
"""Share of questions that a tired agent filed under another intent."""

_OF_AN_ORDER = {
    *("track_order", "cancel_order", "change_address", "return_item", "exchange_item", "refund_status"),
    *("wrong_item", "missing_item", "damaged_item"),
}
"""Intents that are about one order."""


_OF_SIZES = {"size_advice", "exchange_item"}


@dataclass(frozen=True)
class _Case:
    """Who asks, about what."""

    person: Shopper
    order: Event | None
    good: Product
    wearable: Product
    """What a question about sizes is about when ``good`` has none."""
    start_us: int


@dataclass(frozen=True)
class Turn:
    """One turn of a conversation; the intent stands on the user's turns only."""

    conversation_id: str
    turn: int
    role: str
    content: str
    created_at_us: int
    channel: str
    user_id: str | None = None
    order_id: str | None = None
    item_id: str | None = None
    intent: str | None = None
    resolved: bool | None = None
    csat: int | None = None


def chats(
    count: int,
    people: Sequence[Shopper],
    goods: Sequence[Product],
    acts: Sequence[Event],
    rng: np.random.Generator,
    said: Grammars,
    language: Language,
) -> list[Turn]:
    """Conversations with ``count`` user turns in all, in order of conversation and turn."""
    orders: dict[str, list[Event]] = {}
    for act in acts:
        if act.event_name == "purchase":
            orders.setdefault(act.user_id, []).append(act)
    items = {good.id: good for good in goods}
    wearables = [good for good in goods if CATEGORIES[good.category].sizes]
    turns: list[Turn] = []
    asked = number = 0
    while asked < count:
        number += 1
        person = pick(rng, people)
        order = pick(rng, orders[person.user_id]) if person.user_id in orders and rng.random() < 0.8 else None
        good = items[str(order.item_id)] if order else pick(rng, goods)
        since_us = order.event_time_us + 600 * SECOND_US if order else START_US
        start_us = since_us + int(rng.integers(0, (25 if order else DAYS) * 86_400)) * SECOND_US
        case = _Case(person, order, good, pick(rng, wearables), start_us)
        questions = 2 if rng.random() < 0.08 and asked + 2 <= count else 1
        turns.extend(_conversation(f"c{number:05d}", questions, case, rng, said, language))
        asked += questions
    return turns


def _conversation(name: str, questions: int, case: _Case, rng: np.random.Generator, said: Grammars, language: Language) -> list[Turn]:
    order, now = case.order, case.start_us
    channel = pick(rng, ("web", "web", "web", "email", "social"))
    known = case.person.user_id if order or rng.random() < 0.5 else None
    hand = case.person.hand if known else draw_hand(rng)
    turns: list[Turn] = []
    for _ in range(questions):
        intent = OUT_OF_SCOPE if rng.random() < OUT_OF_SCOPE_SHARE else pick_weighted(rng, INTENTS)
        good = case.wearable if intent in _OF_SIZES and not CATEGORIES[case.good.category].sizes else case.good
        facts = _facts(good, order, rng, said.chats)
        clauses = [reworded(clause, said.words_of_chats, 0.6, rng) for clause in question(intent, facts, rng, said.chats)]
        stops = [said.chats.say("ask" if asks(clause) else "stop", rng) for clause in clauses]
        text = written(clauses, stops, hand, rng, language)
        about = order.transaction_id if order and intent in _OF_AN_ORDER and good is case.good else None
        item = good.id if intent != OUT_OF_SCOPE and rng.random() < 0.4 else None
        filed = pick(rng, list(INTENTS)) if intent != OUT_OF_SCOPE and rng.random() < SLIP_OF_LABEL else intent
        turns.append(Turn(name, len(turns), "user", text, now, channel, known, about, item, filed))
        now += int(rng.integers(5, 240)) * SECOND_US
        if rng.random() < 0.85 or len(turns) < questions:
            reply = f"reply.{intent}" if f"reply.{intent}" in said.chats and rng.random() < 0.8 else "reply.any"
            answer = said.chats.say(reply, rng, facts)
            answer = answer if language == "en" else answer.replace(" ", "")
            resolved = bool(rng.random() < 0.7)
            csat = int(np.clip(round(rng.normal(4.2 if resolved else 2.4, 0.9)), 1, 5)) if rng.random() < 0.3 else None
            turns.append(Turn(name, len(turns), "assistant", answer, now, channel, known, about, item, None, resolved, csat))
            now += int(rng.integers(20, 600)) * SECOND_US
    return turns


def question(intent: str, facts: Mapping[str, str], rng: np.random.Generator, grammar: Grammar) -> list[str]:
    """A user's turn as clauses: the intent's own words, and what people say around it."""
    core = grammar.say(intent, rng, facts)
    out_of_scope = intent == OUT_OF_SCOPE
    if rng.random() < (0.1 if out_of_scope else 0.22):
        core = grammar.say("polite", rng, {"core": core})
    clauses = [core]
    if not out_of_scope and rng.random() < DISTRACTIONS:
        facts = {**facts, "other": grammar.say(pick_weighted(rng, INTENTS), rng, facts)}
        before = rng.random() < 0.6
        clauses.insert(0 if before else 1, grammar.say("settled" if before else "later", rng, facts))
    if rng.random() < (0.05 if out_of_scope else 0.48):
        clauses.insert(0, grammar.say("past", rng, facts))
    if rng.random() < (0.1 if out_of_scope else 0.4):
        clauses.append(grammar.say("after", rng, facts))
    if rng.random() < 0.3:
        clauses.insert(0, grammar.say("greeting", rng))
    return clauses


def _facts(good: Product, order: Event | None, rng: np.random.Generator, grammar: Grammar) -> dict[str, str]:
    number = order.transaction_id if order else f"A-{10_000_000 + int(rng.integers(0, 89_999_999))}"
    facts = good.facts() | {"sku": good.id, "two": f"{int(rng.integers(10, 99))}", "two2": f"{int(rng.integers(10, 99))}"}
    facts["order"] = pick(rng, (str(number), f"#{str(number)[2:]}", str(number).replace("-", ""), str(number)[2:]))
    facts["amount"] = grammar.say("amount", rng, {"cents": f"{good.price_cents / 100:.2f}", "whole": str(good.price_cents // 100)})
    return facts
