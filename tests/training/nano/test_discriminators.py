"""training.nano.discriminators: each loss moves its own side alone, and they learn to tell apart."""

import torch

from training.nano.discriminators import Discriminators, adversarial_losses


def audio(seed: int, smooth: bool) -> torch.Tensor:
    """Return noise ``(2, 4096)``, or smoothed noise of the same level."""
    found = torch.randn(2, 4096, generator=torch.Generator().manual_seed(seed)) * 0.1
    if not smooth:
        return found
    return torch.nn.functional.avg_pool1d(found, 4, 1, 2)[:, :4096] * 2


def test_each_loss_moves_its_own_side_alone() -> None:
    torch.manual_seed(0)
    judges = Discriminators()
    output = audio(0, False).requires_grad_()
    losses = adversarial_losses(judges, output, audio(1, True))
    losses["discriminator"].backward(retain_graph=True)
    assert output.grad is None
    assert all(weights.grad is not None for weights in judges.parameters())
    for weights in judges.parameters():
        weights.grad = None
    for name in ("adversarial", "features"):
        output.grad = None
        losses[name].backward(retain_graph=True)
        assert output.grad is not None and float(output.grad.abs().sum()) > 0
        assert all(weights.grad is None for weights in judges.parameters())


def test_equal_audio_has_equal_features() -> None:
    judges = Discriminators()
    assert float(adversarial_losses(judges, audio(0, True), audio(0, True))["features"]) == 0


def test_they_learn_what_is_true() -> None:
    torch.manual_seed(0)
    judges = Discriminators()
    optimizer = torch.optim.AdamW(judges.parameters(), 5e-3, betas=(0.8, 0.99))
    for step in range(20):
        losses = adversarial_losses(judges, audio(2 * step, False), audio(2 * step + 1, True))
        optimizer.zero_grad()
        losses["discriminator"].backward()
        optimizer.step()
    with torch.no_grad():
        unseen = adversarial_losses(judges, audio(1000, False), audio(1001, True))
    assert float(unseen["discriminator"]) < 1.5  # 2 is chance
    assert float(unseen["adversarial"]) > 1.1  # of noise given for the true
