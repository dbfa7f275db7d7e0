# SPDX-License-Identifier: Apache-2.0
"""The distillation objectives equal their formulas, and their gradients go where they should."""

from functools import partial

import pytest
import torch
from torch import Tensor, nn

from netbooster.methods.distillation import distillation_loss
from netbooster.methods.kd import Distillation
from netbooster.methods.rco_kd import RouteDistillation
from netbooster.methods.rocket_launch import RocketLaunch, RocketNetworks
from netbooster.methods.tf_kd import TeacherFree, virtual_teacher
from netbooster.tasks import Classification

CLASSES = 5
HARD = Classification().loss
SMOOTHED = partial(HARD, label_smoothing=0.1)


def linear(seed: int) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Flatten(), nn.Linear(12, CLASSES))


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(7)
    images = torch.randn(6, 3, 2, 2, generator=generator)
    return images, torch.randint(CLASSES, (6,), generator=generator)


def cross_entropy(logits: Tensor, labels: Tensor, smoothing: float) -> Tensor:
    """Written out, in float64."""
    log_p = torch.log(torch.softmax(logits.double(), 1))
    target = torch.full_like(log_p, smoothing / CLASSES)
    target[torch.arange(len(labels)), labels] += 1 - smoothing
    return -(target * log_p).sum(1).mean()


def divergence(p: Tensor, q: Tensor) -> Tensor:
    return (p * (p / q).log()).sum(1).mean()


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_kd_equals_the_formula(temperature: float) -> None:
    student, teacher = linear(0), linear(1)
    images, labels = batch()
    objective = Distillation(teacher, weight=0.7, temperature=temperature, loss=SMOOTHED)
    loss, logits = objective(student, images, labels, 0)
    t = temperature
    p = torch.softmax(teacher(images).double() / t, 1)
    q = torch.softmax(student(images).double() / t, 1)
    expected = 0.3 * cross_entropy(student(images), labels, 0.1) + 0.7 * t**2 * divergence(p, q)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.equal(logits, student(images))


def test_kd_trains_the_student_only_and_stops_at_the_teacher() -> None:
    student, teacher = linear(0), linear(1)
    images, labels = batch()
    objective = Distillation(teacher, weight=1.0, temperature=4.0, loss=HARD)
    loss, _ = objective(student, images, labels, 0)
    loss.backward()
    assert all(p.grad is not None for p in student.parameters())
    assert all(p.grad is None for p in teacher.parameters())
    assert not teacher.training
    student.load_state_dict(teacher.state_dict())
    student.zero_grad()
    loss, _ = objective(student, images, labels, 0)
    loss.backward()
    assert loss.item() == pytest.approx(0, abs=1e-6)
    assert all(p.grad.abs().max() < 1e-6 for p in student.parameters() if p.grad is not None)


def test_gradient_keeps_its_size_at_high_temperature() -> None:
    """At high T it tends to (difference of centred logits) / classes (Hinton et al., 2.1)."""
    torch.manual_seed(0)
    teacher, logits = torch.randn(4, CLASSES), torch.randn(4, CLASSES, requires_grad=True)
    distillation_loss(logits, teacher, 1000.0).backward()
    difference = logits.detach() - teacher
    difference -= difference.mean(1, keepdim=True)
    assert logits.grad is not None
    assert torch.allclose(logits.grad, difference / CLASSES / 4, atol=1e-3)


def test_teacher_sees_images_of_its_own_size() -> None:
    seen = []

    class Teacher(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            seen.append(tuple(x.shape))
            return torch.zeros(len(x), CLASSES)

    images, labels = batch()
    for resolution in (2, 6, None):
        objective = Distillation(
            Teacher(), weight=0.5, temperature=1.0, loss=HARD, resolution=resolution
        )
        objective(linear(0), images, labels, 0)
    assert seen == [(6, 3, 2, 2), (6, 3, 6, 6), (6, 3, 2, 2)]


def test_route_leads_from_early_to_finished() -> None:
    route = [linear(seed).state_dict() for seed in range(10, 14)]
    objective = RouteDistillation(
        linear(1), route, total_steps=10, weight=0.5, temperature=2.0, loss=HARD
    )
    assert [objective.point(step) for step in range(10)] == [0, 0, 0, 1, 1, 2, 2, 2, 3, 3]
    images, labels = batch()
    student = linear(0)
    for step in (0, 4, 9, 1):  # a resumed run may begin anywhere
        loss, _ = objective(student, images, labels, step)
        teacher = linear(1)
        teacher.load_state_dict(route[objective.point(step)])
        plain = Distillation(teacher, weight=0.5, temperature=2.0, loss=HARD)
        assert torch.equal(loss, plain(student, images, labels, step)[0]), step


def test_virtual_teacher_is_softened_and_right() -> None:
    labels = torch.tensor([2, 0])
    sharp = virtual_teacher(labels, CLASSES, 0.9, 0.05)
    assert torch.equal(sharp.argmax(1), labels)
    assert torch.allclose(sharp.sum(1), torch.ones(2))
    soft = virtual_teacher(labels, CLASSES, 0.9, 20.0)
    p = torch.tensor([0.025, 0.025, 0.9, 0.025, 0.025]) / 20
    assert torch.allclose(soft[0], torch.softmax(p, 0))


def test_teacher_free_equals_the_formula() -> None:
    student = linear(0)
    images, labels = batch()
    objective = TeacherFree(weight=0.1, temperature=20.0, correct_prob=0.99, loss=HARD)
    loss, logits = objective(student, images, labels, 0)
    teacher = virtual_teacher(labels, CLASSES, 0.99, 20.0).double()
    soft = divergence(teacher, torch.softmax(logits.double(), 1))
    expected = 0.9 * cross_entropy(logits, labels, 0.0) + 0.1 * soft
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)


def test_rocket_trains_both_and_blocks_the_hint_from_the_booster() -> None:
    light, booster = linear(0), linear(1)
    both = RocketNetworks(light, booster).train()
    images, labels = batch()
    objective = RocketLaunch(hint_weight=0.5, loss=SMOOTHED)
    loss, logits = objective(both, images, labels, 0)
    a, b = light(images), booster(images)
    hint = ((a - b) ** 2).sum(1).mean()
    expected = cross_entropy(a, labels, 0.1) + cross_entropy(b, labels, 0.1) + 0.5 * hint
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    assert torch.equal(logits, a)
    loss.backward()
    alone = torch.autograd.grad(cross_entropy(booster(images), labels, 0.1), booster.parameters())
    for parameter, expected_gradient in zip(booster.parameters(), alone, strict=True):
        assert parameter.grad is not None
        assert torch.allclose(parameter.grad, expected_gradient.float(), atol=1e-6)
    assert torch.equal(both.eval()(images), light(images))
