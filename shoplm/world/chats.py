"""Support chats: a question with its intent, an answer by the shop's policies, and how it ended.

An intent is drawn first and worded by the grammar, then wrapped in what people say around it: greetings, the
past, orders and codes, thanks, and in some cases a second matter that is not the question. What stands around is
the same for all intents. About 6 % of the questions are no business of a shop; their intent is ``oos``. About 3 % of
the others stand under a wrong intent, as in every real help desk. What is done about an order follows from the order and
from ``RULES``, which the help articles state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from shoplm.world.aftermath import RETURN_DAYS
from shoplm.world.catalogue import DAY_US, SECOND_US, Product
from shoplm.world.grammar import Grammar, pick, pick_weighted
from shoplm.world.speech import Grammars, Hand, Language, asks, reworded, written

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
DISTRACTIONS = 0.25
"""Share of questions that also speak of a matter that is not the question."""
SLIP_OF_LABEL = 0.03
"""Share of questions that a tired agent filed under another intent."""
RULES: Mapping[str, int] = {
    "return_days": RETURN_DAYS,
    "refund_days": 5,
    "warranty_months": 24,
    "price_match_days": 14,
    "free_delivery_from": 50,
}
"""The shop's policies; the help articles state them and the answers obey them."""

OF_AN_ORDER = {
    *("track_order", "cancel_order", "change_address", "return_item", "exchange_item", "refund_status"),
    *("wrong_item", "missing_item", "damaged_item"),
}
"""Intents that are about one order."""
OF_SIZES = {"size_advice", "exchange_item"}

_ENDS: Mapping[str, float] = {
    "answered": 0.8, "tracked": 0.75, "cancelled": 0.95, "label_sent": 0.9, "replacement_sent": 0.9, "refund_released": 0.9,
    "address_changed": 0.9, "declined_too_late": 0.3, "declined_shipped": 0.4, "escalated": 0.55, "declined": 0.35,
}  # fmt: skip
"""What is done, and the chance that it settles the matter."""


@dataclass(frozen=True)
class Order:
    """What the help desk sees of an order when it is asked."""

    name: str
    shipped_us: int
    delivered_us: int
    """beyond any time where it is not delivered"""
    returned_us: int


@dataclass(frozen=True)
class Case:
    """Who asks, when, about what."""

    start_us: int
    user_id: str | None
    hand: Hand
    good: Product
    order: Order | None
    channel: str


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
    action: str | None = None
    resolved: bool | None = None
    csat: int | None = None
    meant: str | None = None
    """Truth: the intent that the question has; ``intent`` is how it was filed."""


def conversation(name: str, case: Case, wearable: Product, rng: np.random.Generator, said: Grammars, language: Language) -> list[Turn]:
    """One or two questions with their answers.

    Args:
        name: its id.
        case: who asks about what.
        wearable: what a question about sizes is about where the product has none.
        rng: where every choice comes from.
        said: the words.
        language: of the words.
    """
    now = case.start_us
    turns: list[Turn] = []
    questions = 2 if rng.random() < 0.08 else 1
    for _ in range(questions):
        intent = OUT_OF_SCOPE if rng.random() < OUT_OF_SCOPE_SHARE else pick_weighted(rng, INTENTS)
        good = wearable if intent in OF_SIZES and case.good.runs == 0.0 else case.good
        facts = _facts(good, case.order, rng, said.chats)
        clauses = [reworded(clause, said.words_of_chats, 0.6, rng) for clause in question(intent, facts, rng, said.chats)]
        stops = [said.chats.say("ask" if asks(clause) else "stop", rng) for clause in clauses]
        text = written(clauses, stops, case.hand, rng, language)
        about = case.order.name if case.order and intent in OF_AN_ORDER and good is case.good else None
        item = good.id if intent != OUT_OF_SCOPE and rng.random() < 0.4 else None
        filed = pick(rng, list(INTENTS)) if intent != OUT_OF_SCOPE and rng.random() < SLIP_OF_LABEL else intent
        turns.append(Turn(name, len(turns), "user", text, now, case.channel, case.user_id, about, item, filed, meant=intent))
        asked = now
        now += int(rng.integers(5, 240)) * SECOND_US
        if rng.random() < 0.85 or len(turns) < questions:
            action = act(intent, case.order if about else None, asked, rng)
            known = [reply for reply in (f"reply.{intent}.{action}", f"reply.{intent}", f"reply.{action}") if reply in said.chats]
            answer = said.chats.say(known[0] if known and rng.random() < 0.85 else "reply.any", rng, facts)
            answer = answer if language == "en" else answer.replace(" ", "")
            resolved = bool(rng.random() < _ENDS[action])
            csat = int(np.clip(round(rng.normal(4.3 if resolved else 2.3, 0.8)), 1, 5)) if rng.random() < 0.3 else None
            turns.append(
                Turn(name, len(turns), "assistant", answer, now, case.channel, case.user_id, about, item, None, action, resolved, csat)
            )
            now += int(rng.integers(20, 600)) * SECOND_US
    return turns


def act(intent: str, order: Order | None, now_us: int, rng: np.random.Generator) -> str:
    """What the shop's policies make of a wish, as of ``now_us``."""
    if intent == OUT_OF_SCOPE:
        return "declined"
    if intent == "talk_to_human" or rng.random() < 0.04:
        return "escalated"
    if order is None:
        return "answered"
    shipped, delivered = now_us >= order.shipped_us, now_us >= order.delivered_us
    if intent in ("return_item", "exchange_item"):
        late = delivered and now_us > order.delivered_us + RULES["return_days"] * DAY_US
        return "declined_too_late" if late else "label_sent"
    if intent == "cancel_order":
        return "declined_shipped" if shipped else "cancelled"
    if intent == "change_address":
        return "declined_shipped" if shipped else "address_changed"
    if intent == "refund_status":
        return "refund_released" if now_us >= order.returned_us else "answered"
    if intent in ("wrong_item", "missing_item", "damaged_item"):
        return "replacement_sent" if delivered else "answered"
    return "tracked" if intent == "track_order" else "answered"


def question(intent: str, facts: Mapping[str, str], rng: np.random.Generator, grammar: Grammar) -> list[str]:
    """A user's turn as clauses: the intent's own words, and what people say around it."""
    other_words = f"{intent}.more"
    core = grammar.say(other_words if other_words in grammar and rng.random() < 0.6 else intent, rng, facts)
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


def _facts(good: Product, order: Order | None, rng: np.random.Generator, grammar: Grammar) -> dict[str, str]:
    number = order.name if order else f"A-{10_000_000 + int(rng.integers(0, 89_999_999))}"
    facts = good.facts() | {"sku": good.id, "two": f"{int(rng.integers(10, 99))}", "two2": f"{int(rng.integers(10, 99))}"}
    facts["order"] = pick(rng, (number, f"#{number[2:]}", number.replace("-", ""), number[2:]))
    facts["amount"] = grammar.say("amount", rng, {"cents": f"{good.price_cents / 100:.2f}", "whole": str(good.price_cents // 100)})
    return facts
