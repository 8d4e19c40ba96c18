"""Losses and their gradients against the formulas on the maths page, and against torch's own."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from shoplm.errors import BundleError
from shoplm.model.heads import States, answer, build
from shoplm.model.specs import Choice, Labels, Score, Spans, Text, from_plain, plain

WIDTH, WORDS = 8, 11
CHOICE, BINARY, STARS = Choice(("a", "b", "c")), Score("binary"), Score("regression", 1.0, 5.0)
TAGS = Labels(("warm", "cheap"))
SPANS = Spans(("brand", "colour"))
NAN = float("nan")


def head(spec, seed=0):
    torch.manual_seed(seed)
    return build(spec, WIDTH, WORDS)


def states(rows=4, length=5, seed=1):
    torch.manual_seed(seed)
    hidden = torch.randn(rows, length, WIDTH)
    return States(hidden, hidden.mean(1), torch.randn(WORDS, WIDTH))


def test_choice_is_cross_entropy_by_its_plain_formula():
    logits = torch.tensor([[1.0, -2.0, 0.5], [0.0, 0.0, 3.0]])
    weight = torch.tensor([2.0, 0.5])
    found = head(CHOICE).loss(logits, torch.tensor([0, 1]), weight)
    each = [math.log(sum(math.exp(x) for x in row)) - row[y] for row, y in zip(logits.tolist(), (0, 1), strict=True)]
    assert float(found.total) == pytest.approx(2.0 * each[0] + 0.5 * each[1], rel=1e-6)  # float32
    assert found.count == 2.5


def test_smoothing_spreads_its_share_over_all_labels():
    logits = torch.tensor([[1.0, -2.0, 0.5]])
    found = head(Choice(("a", "b", "c"), smoothing=0.3)).loss(logits, torch.tensor([0]), torch.ones(1))
    target = torch.tensor([0.7 + 0.1, 0.1, 0.1])
    assert float(found.total) == pytest.approx(float(-(target * logits[0].log_softmax(0)).sum()), rel=1e-6)


def test_binary_has_both_terms():
    found = head(BINARY).loss(torch.tensor([0.7, 0.7]), torch.tensor([1.0, 0.0]), torch.ones(2))
    p = 1 / (1 + math.exp(-0.7))
    assert float(found.total) == pytest.approx(-math.log(p) - math.log(1 - p), rel=1e-6)


def test_regression_is_squared_error_on_the_scaled_range():
    found = head(STARS).loss(torch.tensor([0.25, 1.5]), torch.tensor([5.0, 1.0]), torch.ones(2))
    assert float(found.total) == pytest.approx((0.25 - 1) ** 2 + (1.5 - 0) ** 2)


@pytest.mark.parametrize(
    ("spec", "logits", "target", "wanted"),
    [
        (CHOICE, [[0.2, -1.0, 3.0], [0.0, 0.5, 0.0]], [2, 1], lambda x, y: x.softmax(-1) - F.one_hot(y, 3)),
        (BINARY, [0.3, -2.0], [1.0, 0.0], lambda x, y: x.sigmoid() - y),
        (STARS, [0.3, -2.0], [4.0, 1.0], lambda x, y: 2 * (x - (y - 1) / 4)),
        (TAGS, [[0.3, -2.0], [1.0, 0.0]], [[1.0, 1.0], [0.0, 1.0]], lambda x, y: x.sigmoid() - y),
        (SPANS, [[[0.2, -1.0, 3.0, 0.0, 0.1]], [[0.0] * 5]], [[3], [0]], lambda x, y: x.softmax(-1) - F.one_hot(y, 5)),
    ],
    ids=["choice", "binary", "regression", "labels", "spans"],
)
def test_the_gradient_of_the_logit_is_the_prediction_minus_the_truth(spec, logits, target, wanted):
    x, y = torch.tensor(logits, requires_grad=True), torch.tensor(target)
    head(spec).loss(x, y, torch.ones(2)).total.backward()
    torch.testing.assert_close(x.grad, wanted(x.detach(), y), rtol=0, atol=1e-6)  # float32


@pytest.mark.parametrize(("spec", "missing"), [(CHOICE, [-1, 1, -1]), (BINARY, [NAN, 1.0, NAN]), (STARS, [NAN, 2.0, NAN])])
def test_a_missing_target_adds_nothing_to_sum_count_or_gradient(spec, missing):
    made = head(spec)
    logits = made(states(3)).detach().requires_grad_()
    found = made.loss(logits, torch.tensor(missing), torch.ones(3))
    alone = made.loss(logits[1:2], torch.tensor(missing[1:2]), torch.ones(1))
    assert found.total.item() == alone.total.item()
    assert found.count == alone.count == 1
    found.total.backward()
    assert (logits.grad[[0, 2]] == 0).all()
    assert logits.grad[1].abs().sum() > 0


def test_an_unknown_label_adds_nothing_and_every_known_one_counts_with_its_row_s_weight():
    made = head(TAGS)
    logits = torch.tensor([[0.5, -1.0], [2.0, 0.3], [1.0, 1.0]], requires_grad=True)
    found = made.loss(logits, torch.tensor([[1.0, NAN], [0.0, 1.0], [NAN, NAN]]), torch.tensor([2.0, 1.0, 5.0]))
    s = [1 / (1 + math.exp(-x)) for x in (0.5, 2.0, 0.3)]
    assert found.total.item() == pytest.approx(-2 * math.log(s[0]) - math.log(1 - s[1]) - math.log(s[2]), rel=1e-6)  # float32
    assert found.count == 4.0
    found.total.backward()
    assert logits.grad[0, 1] == logits.grad[2, 0] == logits.grad[2, 1] == 0


def test_labels_begin_by_saying_how_often_each_is_a_yes_where_it_is_known():
    made = head(Labels(("a", "b", "c")))
    made.begin(torch.randn(4, WIDTH), torch.tensor([[1.0, NAN, NAN], [0.0, 1.0, NAN], [0.0, 1.0, NAN], [0.0, NAN, NAN]]))
    np.testing.assert_allclose(1 / (1 + np.exp(-answer(made.spec, made(states())))), [[0.25, 0.99, 0.5]] * 4, rtol=1e-5)


@pytest.mark.parametrize("spec", [CHOICE, BINARY, STARS, TAGS, SPANS], ids=["choice", "binary", "regression", "labels", "spans"])
def test_no_target_at_all_is_a_count_of_zero_without_nan(spec):
    made = head(spec)
    logits = made(states(2))
    target = torch.full(logits.shape[:-1], -1) if spec in (CHOICE, SPANS) else torch.full_like(logits, NAN)
    found = made.loss(logits, target, torch.ones(2))
    assert (found.total.item(), found.count) == (0.0, 0.0)


def test_spans_ask_every_token_that_has_a_tag_and_no_other():
    made, seen = head(SPANS), states(2, 3)
    logits = made(seen).detach().requires_grad_()
    assert logits.shape == (2, 3, 5)
    target = torch.tensor([[-1, 0, 3], [-1, -1, 4]])
    found = made.loss(logits, target, torch.tensor([1.0, 0.5]))
    p = logits.detach().log_softmax(-1)
    assert found.total.item() == pytest.approx(-float(p[0, 1, 0] + p[0, 2, 3] + 0.5 * p[1, 2, 4]), rel=1e-6)  # float32
    assert found.count == 1 + 1 + 0.5
    found.total.backward()
    assert (logits.grad[target == -1] == 0).all()


def test_spans_begin_by_saying_how_often_each_tag_was_seen():
    made = head(SPANS)
    made.begin_from_counts(torch.tensor([94, 2, 0, 0, 0]))
    wanted = np.array([95, 3, 1, 1, 1]) / 101  # one is added to each
    np.testing.assert_allclose(made(states()).softmax(-1).detach().numpy(), np.broadcast_to(wanted, (4, 5, 5)), rtol=1e-5)


def test_spans_take_over_the_tags_of_the_kinds_that_both_have():
    theirs, ours = head(Spans(("size", "colour"))), head(SPANS)
    torch.nn.init.normal_(theirs.out.weight)
    assert ours.inherit(theirs) == 1
    assert torch.equal(ours.out.weight[[0, 3, 4]], theirs.out.weight[[0, 3, 4]])  # colour is the second kind of both
    assert (ours.out.weight[[1, 2]] == 0).all()
    assert ours.inherit(head(CHOICE)) == ours.inherit(head(Spans(("size",)))) == 0


def test_masked_text_is_torch_s_cross_entropy_at_the_asked_places():
    made, seen = head(Text("masked")), states()
    logits = made(seen)
    target = torch.full((4, 5), -1)
    target[0, 0], target[1, 4], target[3, 2] = 3, 10, 0
    found = made.loss(logits, target, torch.ones(4))
    wanted = F.cross_entropy(logits.flatten(0, 1), target.flatten(), ignore_index=-1, reduction="sum")
    torch.testing.assert_close(found.total, wanted, rtol=1e-6, atol=0)
    assert found.count == 3


def test_causal_text_asks_every_place_for_the_next_token():
    made, seen = head(Text("causal")), states()
    logits = made(seen)
    target = torch.randint(0, WORDS, (4, 5))
    target[2, 3:] = -1
    found = made.loss(logits, target, torch.ones(4))
    wanted = F.cross_entropy(logits[:, :-1].flatten(0, 1), target[:, 1:].flatten(), ignore_index=-1, reduction="sum")
    torch.testing.assert_close(found.total, wanted, rtol=1e-6, atol=0)
    assert found.count == 4 * 4 - 2


def test_a_causal_text_head_starts_as_the_backbone_s_own_next_token():
    made, seen = head(Text("causal")), states()
    torch.testing.assert_close(made(seen), seen.hidden @ seen.vocabulary.T, rtol=1e-5, atol=1e-5)  # float32 products


def test_choice_compares_directions_so_that_length_does_not_matter():
    made, seen = head(CHOICE), states()
    longer = States(seen.hidden, seen.pooled * 7, seen.vocabulary)
    torch.testing.assert_close(made(longer), made(seen), rtol=0, atol=1e-5)  # float32, logits up to 20
    x, w = seen.pooled[0], made.weight[1].detach()
    assert made(seen)[0, 1].item() == pytest.approx(float(made.SHARPNESS * (x @ w) / (x.norm() * w.norm())), rel=1e-5)


def test_choice_begins_with_each_label_s_mean_direction():
    made = head(CHOICE)
    before = made.weight[2].clone()
    pooled = torch.tensor([[2.0, 0, 0, 0, 0, 0, 0, 0], [0, 5.0, 0, 0, 0, 0, 0, 0], [0, 0, 3.0, 0, 0, 0, 0, 0], [9.0] * 8])
    made.begin(pooled, torch.tensor([0, 0, 1, -1]))
    half = math.sqrt(0.5)  # of two unit vectors at a right angle, as long as they are each
    assert made.weight[0].tolist() == pytest.approx([half, half, 0, 0, 0, 0, 0, 0])
    assert made.weight[1].tolist() == pytest.approx([0, 0, 1, 0, 0, 0, 0, 0])
    assert torch.equal(made.weight[2], before)  # a label without rows keeps its own


@pytest.mark.parametrize(("spec", "target", "said"), [(BINARY, [1.0, 0.0, 1.0, NAN], 2 / 3), (STARS, [5.0, 2.0, NAN, 5.0], 4.0)])
def test_a_score_begins_by_saying_the_mean_about_every_row(spec, target, said):
    made = head(spec)
    made.begin(torch.randn(4, WIDTH), torch.tensor(target))
    found = answer(spec, made(states()))
    if spec is BINARY:
        found = 1 / (1 + np.exp(-found))
    np.testing.assert_allclose(found, said, rtol=1e-5)


def test_a_score_without_any_target_begins_at_zero():
    made = head(STARS)
    made.begin(torch.randn(2, WIDTH), torch.tensor([NAN, NAN]))
    assert made(states()).tolist() == [0.0] * 4


def test_an_answered_regression_is_in_its_own_unit_and_range():
    assert answer(STARS, torch.tensor([0.5, -3.0, 9.0])).tolist() == [3.0, 1.0, 5.0]


FED = [
    Choice(("a", "b", "c"), features=3),
    Labels(("warm", "cheap"), features=3),
    Score("binary", features=3),
    Score("regression", 1, 5, features=3),
]


@pytest.mark.parametrize("spec", FED)
def test_features_add_nothing_at_first_and_then_what_they_tell(spec):
    made, seen, plainly = head(spec), states(), head(dataclasses.replace(spec, features=0))
    fed = dataclasses.replace(seen, features=torch.randn(4, 3))
    plainly.load_state_dict({name: value for name, value in made.state_dict().items() if not name.startswith("beside")})
    torch.testing.assert_close(made(fed), plainly(seen), rtol=0, atol=0)
    target = (
        torch.tensor([0, 1, 2, 1])
        if isinstance(spec, Choice)
        else torch.rand(4, 2).round()
        if isinstance(spec, Labels)
        else torch.rand(4).round()
    )
    optimizer = torch.optim.Adam([weight for name, weight in made.named_parameters() if name.startswith("beside")], 0.05)
    losses = []
    for _ in range(60):
        optimizer.zero_grad()
        loss = made.loss(made(fed), target, torch.ones(4))
        loss.mean.backward()
        optimizer.step()
        losses.append(float(loss.mean.detach()))
    assert losses[-1] < 0.2 * losses[0]
    with pytest.raises(AssertionError, match="the batch has none"):
        made(seen)


def test_a_head_of_the_text_alone_has_and_writes_nothing_of_features():
    assert not any("beside" in name for name in head(CHOICE).state_dict())
    assert "features" not in plain(CHOICE) | plain(STARS) | plain(TAGS)
    assert plain(FED[0])["features"] == 3
    assert not any("settled" in plain(spec) for spec in FED)


@pytest.mark.parametrize(
    "spec",
    [CHOICE, Choice(("鞋", "b"), 0.1, 2.0), BINARY, STARS, TAGS, SPANS, Text("masked"), *FED, Choice(("a",), features=2, settled=True)],
)
def test_a_spec_survives_being_written(spec):
    assert from_plain(plain(spec), "config.json") == spec


@pytest.mark.parametrize("bad", [{"head": "oracle"}, {}, {"head": "choice", "labels": ["a"], "extra": 1}])
def test_an_unknown_head_is_refused(bad):
    with pytest.raises(BundleError, match=r"config\.json: not a head"):
        from_plain(bad, "config.json")


def test_a_head_may_be_called_like_anything_that_a_module_has_but_not_with_a_dot(fresh):
    from shoplm.model.network import Network

    backbone = fresh("bert", 24)
    specs = {name: Choice(("a", "b")) for name in ("children", "type", "train", "age")}
    one, other = Network(backbone, specs, 0), Network(backbone, specs, 0)
    assert set(one.heads.keys()) == set(specs)
    other.heads.load_state_dict(one.heads.state_dict())
    assert "heads.children.weight" in dict(one.named_parameters())
    assert torch.equal(other.heads["children"].weight, one.heads["children"].weight)
    with pytest.raises(ValueError, match="no dot"):
        Network(backbone, {"a.b": Choice(("a", "b"))}, 0)


@pytest.mark.parametrize("kind", ["choice", "labels", "score"])
def test_numbers_beside_the_text_begin_where_a_logistic_regression_of_them_ends(kind):
    from sklearn.linear_model import LogisticRegression

    rows = torch.nn.functional.normalize(torch.randn(400, 30), dim=1)  # of length one: then the penalty is scikit-learn's at C = 1
    classes = (rows @ (torch.randn(30, 3) * 3) + torch.randn(400, 3) / 2).argmax(1)
    theirs = LogisticRegression(max_iter=1000, tol=1e-8).fit(rows.numpy(), (classes if kind == "choice" else classes == 1).numpy())
    yes = (classes == 1).float()
    specs = {"choice": Choice(("a", "b", "c"), features=30), "labels": Labels(("x", "y"), features=30), "score": Score(features=30)}
    made = build(specs[kind], WIDTH, 10)
    targets = {"choice": classes, "labels": torch.stack([torch.full((400,), NAN), yes], 1), "score": yes}
    made.begin_beside(rows, targets[kind])
    logits = rows @ made.beside.alone.weight.detach().T + made.intercept.detach()
    ours = {
        "choice": lambda: torch.softmax(logits, 1),
        "labels": lambda: torch.sigmoid(logits[:, 1]),
        "score": lambda: torch.sigmoid(logits[:, 0]),
    }
    said = theirs.predict_proba(rows.numpy())
    # both stop where the gradient is small: thousandths of a probability
    np.testing.assert_allclose(ours[kind]().numpy(), said if kind == "choice" else said[:, 1], rtol=0, atol=2e-3)


@pytest.mark.parametrize("spec", [Choice(("a", "b"), features=30, settled=True), Labels(("x", "y"), features=30, settled=True)])
def test_settled_numbers_stay_where_the_linear_model_of_them_ends_while_the_text_learns(spec):
    made = build(spec, WIDTH, 10)
    rows = torch.randn(20, 30)  # more numbers than rows
    target = torch.arange(20) % 2 if isinstance(spec, Choice) else (torch.arange(40).view(20, 2) % 2).float()
    made.begin_beside(rows, target)
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    assert before["beside.alone.weight"].any()
    seen = States(torch.randn(20, 3, WIDTH), torch.randn(20, WIDTH), torch.randn(10, WIDTH), rows)
    optimizer = torch.optim.AdamW(made.parameters(), 0.05)
    for _ in range(3):
        optimizer.zero_grad()
        made.loss(made(seen), target, torch.ones(20)).mean.backward()
        optimizer.step()
    moved = {name for name, tensor in made.state_dict().items() if not torch.equal(tensor, before[name])}
    assert moved
    assert not any(name.startswith("beside") for name in moved)
    assert all(parameter.requires_grad for parameter in made.parameters())  # what could learn is saved and resumed


def test_a_head_without_numbers_beside_its_text_begins_as_ever():
    made = build(Choice(("a", "b")), WIDTH, 10)
    before = {name: tensor.clone() for name, tensor in made.state_dict().items()}
    made.begin_beside(torch.randn(4, 3), torch.tensor([0, 1, 0, 1]))
    assert all(torch.equal(tensor, before[name]) for name, tensor in made.state_dict().items())
