"""Support chats: a question with its intent, mostly an answer, now and then a second question.

An intent is drawn first and worded by the grammar, then wrapped in what people say around it: greetings, the
past, orders and codes, thanks. What stands around is the same for all intents. About 6 % of the questions are
no business of a shop; their intent is ``oos``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from shoplm.world.catalogue import START_US, Product
from shoplm.world.grammar import Grammar, pick, pick_weighted
from shoplm.world.shoppers import DAYS, SECOND_US, Event, Shopper
from shoplm.world.speech import Grammars, Language, asks, draw_hand, reworded, written

INTENTS: Mapping[str, float] = {
    "track_order": 1.7,
    "cancel_order": 1.1,
    "return_item": 1.3,
    "exchange_item": 1.1,
    "refund_status": 1.2,
    "wrong_item": 0.9,
    "missing_item": 0.9,
    "damaged_item": 1.1,
    "size_advice": 1.1,
    "stock_question": 1.1,
    "product_question": 1.1,
    "compare_products": 0.8,
    "delivery_options": 1.1,
    "price_match": 0.8,
    "coupon_problem": 1.0,
    "payment_failed": 1.1,
    "invoice_request": 0.8,
    "gift_card": 0.8,
    "loyalty_points": 0.8,
    "change_address": 1.0,
    "account_login": 1.0,
    "newsletter": 0.7,
    "warranty": 1.0,
    "talk_to_human": 0.8,
}
"""The intents of the shop and how often each is met, beside 1 for an ordinary one."""
OUT_OF_SCOPE = "oos"
OUT_OF_SCOPE_SHARE = 0.06

_OF_AN_ORDER = ("track_order", "cancel_order", "return_item", "exchange_item", "refund_status", "wrong_item", "missing_item", "damaged_item")


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
    turns: list[Turn] = []
    asked = number = 0
    while asked < count:
        number += 1
        person = pick(rng, people)
        order = pick(rng, orders[person.user_id]) if person.user_id in orders and rng.random() < 0.8 else None
        good = items[str(order.item_id)] if order else pick(rng, goods)
        questions = 2 if rng.random() < 0.08 and asked + 2 <= count else 1
        turns.extend(_conversation(f"c{number:05d}", questions, person, order, good, rng, said, language))
        asked += questions
    return turns


def _conversation(
    name: str,
    questions: int,
    person: Shopper,
    order: Event | None,
    good: Product,
    rng: np.random.Generator,
    said: Grammars,
    language: Language,
) -> list[Turn]:
    now = order.event_time_us + int(rng.integers(600, 25 * 86_400)) * SECOND_US if order else START_US
    if not order:
        now += int(rng.integers(0, DAYS * 86_400)) * SECOND_US
    channel = pick(rng, ("web", "web", "web", "email", "social"))
    known = person.user_id if order or rng.random() < 0.5 else None
    hand = person.hand if known else draw_hand(rng)
    facts = _facts(good, order, rng, said.chats)
    turns: list[Turn] = []
    for _ in range(questions):
        intent = OUT_OF_SCOPE if rng.random() < OUT_OF_SCOPE_SHARE else pick_weighted(rng, INTENTS)
        clauses = [reworded(clause, said.words_of_chats, 0.6, rng) for clause in question(intent, facts, rng, said.chats)]
        stops = [said.chats.say("ask" if asks(clause) else "stop", rng) for clause in clauses]
        text = written(clauses, stops, hand, rng, language)
        about = order.transaction_id if order and intent in _OF_AN_ORDER else None
        item = good.id if intent != OUT_OF_SCOPE and rng.random() < 0.4 else None
        turns.append(Turn(name, len(turns), "user", text, now, channel, known, about, item, intent))
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
