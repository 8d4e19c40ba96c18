"""Every gradient that docs/maths.md states, against automatic differentiation of the project's own heads."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from docs.pages import DOCS
from shoplm.evaluate.bootstrap import weights
from shoplm.evaluate.calibration import OFFSET_PRIOR, SLOPE_PRIOR, log_softmax, platt, platt_of_classes, temperature
from shoplm.model.heads import ChoiceHead, Head, States, TextHead, build
from shoplm.model.specs import Choice, Score, Text, Vector
from shoplm.tally import Tally
from shoplm.task import Fitted, Scores
from shoplm.tasks.sentiment import TASK as SENTIMENT

B, D, C = 5, 8, 4
CLOSE = {"rtol": 1e-4, "atol": 1e-6}  # float32 sums of a few terms


def _states(width: int = D) -> States:
    return States(torch.zeros(B, 1, width), torch.randn(B, width), torch.zeros(1, width))


def _choice(smoothing: float = 0.0) -> tuple[ChoiceHead, States, Tensor, Tensor]:
    """A head, its input, its logits with their gradient kept, and labels of which one is missing."""
    torch.manual_seed(0)
    head = build(Choice(tuple("abcd"), smoothing), D, 1)
    assert isinstance(head, ChoiceHead)
    with torch.no_grad():
        head.weight.mul_(torch.tensor([[0.5], [1.0], [2.0], [3.0]]))  # lengths other than 1
        head.bias.copy_(torch.randn(C))
    states = _states()
    logits = head(states)
    logits.retain_grad()
    return head, states, logits, torch.tensor([0, 3, 1, -1, 2])


def _truth(target: Tensor, smoothing: float = 0.0) -> Tensor:
    return F.one_hot(target.clamp(min=0), C) * (1 - smoothing) + smoothing / C


def _gradient(head: Head, logits: Tensor, target: Tensor) -> Tensor:
    head.loss(logits, target, torch.ones(B)).total.backward()
    assert logits.grad is not None
    return logits.grad


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_the_gradient_of_cross_entropy_is_what_is_said_minus_what_is_true(smoothing: float) -> None:
    head, _, logits, target = _choice(smoothing)
    expected = (logits.softmax(1) - _truth(target, smoothing)) * (target != -1)[:, None]
    torch.testing.assert_close(_gradient(head, logits, target), expected.detach(), **CLOSE)
    torch.testing.assert_close(expected.sum(1), torch.zeros(B), **CLOSE)


def test_the_least_smoothed_loss_is_the_entropy_of_the_smoothed_truth() -> None:
    truth = _truth(torch.tensor([1]), 0.2)
    loss = F.cross_entropy(truth.log(), torch.tensor([1]), label_smoothing=0.2)
    torch.testing.assert_close(loss, -(truth * truth.log()).sum(), **CLOSE)


def test_the_gradients_of_the_cosine_head_are_as_derived() -> None:
    head, states, logits, target = _choice()
    error = _gradient(head, logits, target)
    x, v = F.normalize(states.pooled, dim=1), F.normalize(head.weight.detach(), dim=1)
    cosine = x @ v.T
    turned = x[:, None] - cosine[..., None] * v  # (B, C, D)
    length = head.weight.detach().norm(dim=1)
    of_weight = (error[..., None] * head.scale.detach() * turned / length[:, None]).sum(0)
    assert head.weight.grad is not None
    torch.testing.assert_close(head.bias.grad, error.sum(0), **CLOSE)
    torch.testing.assert_close(head.scale.grad, (error * cosine).sum(), **CLOSE)
    torch.testing.assert_close(head.weight.grad, of_weight, rtol=1e-4, atol=1e-5)  # float32, scaled by 20
    right_angle = (head.weight.grad * v).sum(1)
    torch.testing.assert_close(right_angle, torch.zeros(C), rtol=0, atol=1e-5)


def test_the_gradient_of_binary_cross_entropy_is_the_probability_minus_the_truth() -> None:
    torch.manual_seed(0)
    head = build(Score("binary"), D, 1)
    logits = torch.tensor([-3.0, -0.5, 0.0, 2.0, 40.0], requires_grad=True)
    target = torch.tensor([0.0, 1.0, 1.0, float("nan"), 0.0])
    expected = torch.where(target.isnan(), 0.0, logits.sigmoid() - target.nan_to_num()).detach()
    torch.testing.assert_close(_gradient(head, logits, target), expected, **CLOSE)


def test_the_gradients_of_a_masked_head_reach_its_words_and_what_is_compared_with_them() -> None:
    torch.manual_seed(0)
    head = build(Text("masked"), D, C)
    assert isinstance(head, TextHead)
    compared = torch.randn(B, D, requires_grad=True)
    embeddings, target = torch.randn(C, D), torch.tensor([0, 3, 1, 1, 2])
    logits = compared @ embeddings.T + head.bias
    logits.retain_grad()
    head.loss(logits[:, None], target[:, None], torch.ones(B)).total.backward()
    said = logits.detach().softmax(-1)
    torch.testing.assert_close(logits.grad, said - F.one_hot(target, C), **CLOSE)
    torch.testing.assert_close(compared.grad, said @ embeddings - embeddings[target], **CLOSE)
    states = States(torch.randn(B, 1, D), torch.zeros(B, D), embeddings)
    turned = F.layer_norm(F.gelu(states.hidden), (D,))  # fresh: the linear layer hands on what it gets
    torch.testing.assert_close(head(states), turned @ embeddings.T + head.bias, **CLOSE)


def test_a_vector_s_gradient_turns_it_towards_where_it_belongs_and_never_stretches_it() -> None:
    torch.manual_seed(0)
    pooled, given = torch.randn(B, D, requires_grad=True), torch.randn(B, D)
    head = build(Vector(), D, 1)
    head.loss(head(States(torch.zeros(B, 1, D), pooled, torch.zeros(1, D))), given, torch.ones(B)).total.backward()
    x, y = F.normalize(pooled.detach(), dim=1), F.normalize(given, dim=1)
    expected = ((x * y).sum(1, keepdim=True) * x - y) / pooled.detach().norm(dim=1, keepdim=True)
    torch.testing.assert_close(pooled.grad, expected, **CLOSE)
    assert pooled.grad is not None
    torch.testing.assert_close((pooled.grad * x).sum(1), torch.zeros(B), rtol=0, atol=1e-6)


def test_without_the_second_term_no_row_whose_answer_is_no_teaches_anything() -> None:
    logits = torch.tensor([-2.0, 0.0, 3.0], requires_grad=True)
    y = torch.tensor([0.0, 1.0, 0.0])
    (-y * logits.sigmoid().log()).sum().backward()
    torch.testing.assert_close(logits.grad, (-y * (1 - logits.sigmoid())).detach(), **CLOSE)


def test_the_stable_form_of_binary_cross_entropy_is_the_same_number() -> None:
    z, y = torch.linspace(-8, 8, 33), torch.rand(33, generator=torch.Generator().manual_seed(0))
    p = z.double().sigmoid()
    plain = -(y * p.log() + (1 - y) * (1 - p).log())
    torch.testing.assert_close((z.clamp(min=0) - z * y + (-z.abs()).exp().log1p()).double(), plain, rtol=1e-5, atol=1e-6)  # float32


def test_the_gradient_of_squared_error_is_twice_the_miss_on_the_unit_range() -> None:
    head = build(Score("regression", 1.0, 5.0), D, 1)
    logits = torch.tensor([0.1, 0.5, 0.9, 1.4, -0.2], requires_grad=True)
    stars = torch.tensor([1.0, 2.0, 5.0, float("nan"), 3.0])
    expected = torch.where(stars.isnan(), 0.0, 2 * (logits - (stars.nan_to_num() - 1) / 4)).detach()
    torch.testing.assert_close(_gradient(head, logits, stars), expected, **CLOSE)


def test_a_regression_starts_from_the_mean_and_labels_start_from_their_mean_direction() -> None:
    torch.manual_seed(0)
    pooled, stars = torch.randn(6, D), torch.tensor([1.0, 2.0, 5.0, 5.0, 4.0, float("nan")])
    score = build(Score("regression", 1.0, 5.0), D, 1)
    score.begin(pooled, stars)
    answer = score(States(pooled[:, None], pooled, pooled))
    torch.testing.assert_close(answer.detach(), torch.full((6,), (3.4 - 1) / 4), **CLOSE)  # (1 + 2 + 5 + 5 + 4) / 5 = 3.4
    choice = build(Choice(("a", "b")), D, 1)
    choice.begin(pooled, torch.tensor([0, 0, 1, 1, 1, -1]))
    direction = F.normalize(F.normalize(pooled[:2], dim=1).mean(0), dim=0)
    torch.testing.assert_close(choice.get_parameter("weight")[0].detach(), direction, **CLOSE)


def test_the_derivatives_of_temperature_scaling_are_as_derived_and_vanish_at_its_choice() -> None:
    torch.manual_seed(0)
    z = torch.randn(200, C, dtype=torch.float64) * 3
    target = torch.distributions.Categorical(logits=z / 1.7).sample()
    beta = torch.tensor(0.8, dtype=torch.float64, requires_grad=True)
    p = (beta * z).softmax(1)
    (first,) = torch.autograd.grad(F.cross_entropy(beta * z, target, reduction="sum"), beta, create_graph=True)
    true = z.gather(1, target[:, None])[:, 0]
    torch.testing.assert_close(first, ((p * z).sum(1) - true).sum())
    (second,) = torch.autograd.grad(first, beta)
    torch.testing.assert_close(second, ((p * z**2).sum(1) - (p * z).sum(1) ** 2).sum())
    chosen = 1 / temperature(z.numpy(), target.numpy())
    at_choice = ((chosen * z).softmax(1) * z).sum(1).mean() - true.mean()
    assert abs(float(at_choice)) < 1e-8  # the search stops within 1e-10 of log(beta)


def test_the_gradients_of_platts_line_are_as_derived_and_vanish_at_its_choice() -> None:
    z = torch.randn(60, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    event = (z + torch.randn(60, dtype=torch.float64, generator=torch.Generator().manual_seed(1)) > 0).double()
    y = torch.where(event == 1, (event.sum() + 1) / (event.sum() + 2), 1 / ((1 - event).sum() + 2))
    for line, close in ((torch.tensor([0.7, -0.3]), None), (torch.tensor(platt(z.numpy(), event.numpy().astype(int))), 1e-6)):
        w = line.double().requires_grad_()
        logit = w[0] * z + w[1]
        F.binary_cross_entropy_with_logits(logit, y, reduction="sum").backward()
        error = logit.detach().sigmoid() - y
        torch.testing.assert_close(w.grad, torch.stack([(error * z).sum(), error.sum()]))
        assert w.grad is not None
        if close:
            assert float(w.grad.abs().max()) < close  # Newton ends at a gradient of 1e-8 a row


def test_the_gradients_of_a_line_for_each_class_are_as_derived_and_vanish_at_its_choice() -> None:
    torch.manual_seed(0)
    z = torch.randn(50, C, dtype=torch.float64) * 3
    target = torch.distributions.Categorical(logits=z / 2 + torch.arange(C)).sample()
    heat = temperature(z.numpy(), target.numpy(), 1 / 52)
    slope, offset = (torch.from_numpy(part) for part in platt_of_classes(z.numpy(), target.numpy()))
    u, one_hot = z / heat, F.one_hot(target, C)
    assert (SLOPE_PRIOR, OFFSET_PRIOR) == (0.25, 1.0)
    for a, b, close in ((torch.ones(C) * 1.2, torch.arange(C) / 9, None), (slope * heat, offset, 1e-6)):
        alpha, beta = a.double().clone().requires_grad_(), b.double().clone().requires_grad_()
        loss = F.cross_entropy(alpha * u + beta, target, reduction="sum")
        (loss + ((alpha - 1) ** 2).sum() / (2 * 0.25**2) + (beta**2).sum() / 2).backward()
        error = (alpha * u + beta).detach().softmax(1) - one_hot
        of_alpha, of_beta = (error * u).sum(0) + (alpha.detach() - 1) / 0.25**2, error.sum(0) + beta.detach()
        torch.testing.assert_close(alpha.grad, of_alpha, rtol=1e-6, atol=1e-9)
        torch.testing.assert_close(beta.grad, of_beta, rtol=1e-6, atol=1e-9)
        if close:
            assert float(torch.cat([of_alpha, of_beta]).abs().max()) < close  # Newton ends at a gradient of 1e-9 a row


def test_free_energy_is_a_soft_maximum_whose_gradient_is_softmax() -> None:
    torch.manual_seed(0)
    z = (torch.randn(B, C) * 4).requires_grad_()
    energy = z.logsumexp(1)
    energy.sum().backward()
    torch.testing.assert_close(z.grad, z.softmax(1).detach(), **CLOSE)
    assert bool((energy >= z.max(1).values).all())
    assert bool((energy <= z.max(1).values + math.log(C)).all())
    np.testing.assert_allclose(log_softmax(z.detach().numpy())[:, 0], (z[:, 0] - energy).detach().numpy(), rtol=1e-4)  # float32


def test_favouring_the_rare_divides_by_its_share_and_leaves_the_probabilities() -> None:
    logs = np.log(np.array([[0.3, 0.7], [0.1, 0.9]]))
    for favour, expected in ((0.0, ["positive", "positive"]), (1.0, ["negative", "positive"])):
        numbers = {"prior:negative": 0.2, "prior:positive": 0.8, "favour": favour}  # 0.3 / 0.2 > 0.7 / 0.8, and 0.1 / 0.2 < 0.9 / 0.8
        answer = SENTIMENT.answer(Scores({"label": logs}), Fitted(labels={"label": ["negative", "positive"]}, numbers=numbers))
        assert list(answer.columns["label"]) == expected
        np.testing.assert_allclose(answer.values["label"], np.exp(logs), rtol=1e-6)  # float32


def test_a_tally_is_the_true_mean_where_a_mean_of_means_is_not() -> None:
    losses = [0.2] * 16 + [1.0] * 4
    whole = Tally(sum(losses[:16]), 16) + Tally(sum(losses[16:]), 4)
    assert whole.mean == pytest.approx(0.36)  # (16 * 0.2 + 4 * 1.0) / 20
    assert np.mean([np.mean(losses[:16]), np.mean(losses[16:])]) == pytest.approx(0.6)  # (0.2 + 1.0) / 2


def test_adamw_steps_as_written() -> None:
    rate, decay, b1, b2, epsilon = 0.1, 0.01, 0.9, 0.999, 1e-8
    theirs = torch.nn.Parameter(torch.tensor([1.0, -2.0, 0.5]))
    optimizer = torch.optim.AdamW([theirs], lr=rate, weight_decay=decay)
    ours, m, v = theirs.detach().clone(), torch.zeros(3), torch.zeros(3)
    for k in range(1, 5):
        g = torch.tensor([0.3, -4.0, 0.001]) * k
        theirs.grad = g.clone()
        optimizer.step()
        before = ours
        ours = ours - rate * decay * ours
        m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g**2
        ours = ours - rate * (m / (1 - b1**k)) / ((v / (1 - b2**k)).sqrt() + epsilon)
        if k == 1:
            torch.testing.assert_close((before * (1 - rate * decay) - ours).abs(), torch.full((3,), rate), rtol=1e-3, atol=0)
        torch.testing.assert_close(theirs.detach(), ours, **CLOSE)


def test_the_running_mean_of_the_weights_is_their_mean_and_loses_no_more_on_a_quadratic() -> None:
    torch.manual_seed(0)
    steps = torch.randn(7, 3)
    mean = torch.zeros(3)
    for n, weight in enumerate(steps, 1):
        mean = mean + (weight - mean) / n
    torch.testing.assert_close(mean, steps.mean(0), **CLOSE)
    assert (mean**2).sum() <= (steps**2).sum(1).mean()


def test_the_gradients_of_lora_factors_are_those_of_full_tuning_times_the_other_factor() -> None:
    torch.manual_seed(0)
    d, k, r, alpha = 6, 5, 2, 4.0
    x, aim, w = torch.randn(3, k), torch.randn(3, d), torch.randn(d, k)
    for b in (torch.zeros(d, r), torch.randn(d, r)):
        up, down = b.clone().requires_grad_(), torch.randn(r, k, requires_grad=True)
        ((x @ (w + alpha / r * up @ down).T - aim) ** 2).sum().backward()
        full = (w + alpha / r * up @ down).detach().requires_grad_()
        ((x @ full.T - aim) ** 2).sum().backward()
        assert full.grad is not None
        torch.testing.assert_close(up.grad, (alpha / r * full.grad @ down.T).detach(), rtol=1e-4, atol=1e-4)  # float32, tens
        torch.testing.assert_close(down.grad, (alpha / r * up.T @ full.grad).detach(), rtol=1e-4, atol=1e-4)
    assert 16 * (384 + 384) == 12_288
    assert 384 * 384 == 147_456


def test_a_bootstrap_weight_has_mean_one_and_variance_one() -> None:
    found = np.concatenate([weights(0, block) for block in range(4)])  # 2.4 million weights: standard error of the mean 0.0006
    assert found.mean() == pytest.approx(1, abs=0.004)
    assert found.var() == pytest.approx(1, abs=0.01)


def test_the_page_names_the_test_that_checks_it() -> None:
    assert "tests/docs/test_maths.py" in (DOCS / "maths.md").read_text("utf-8")
