"""Averages the weights that a run went on from with those that it ended with.

A network that goes on with other data learns these and forgets some of the earlier ones. An average
of both weights often knows the one and the other (Wortsman and others, arXiv 2109.01903).
"""

from dataclasses import replace

from torch import Tensor

from .options import TrainingResult
from .run_folder import load_network, network_tensors
from .trainer import Trainer

SHARES = (0.2, 0.35, 0.5, 0.65, 0.8)  # of the trained weights


def blend(trainer: Trainer, first: dict[str, Tensor], result: TrainingResult) -> TrainingResult:
    """Validate averages of `first` and the weights of a run that ended with `result`;
    ``best.safetensors`` is then the best of them and of all steps.

    Parameters
    ----------
    first : the tensors that the run went on from, named as by `network_tensors`.
    """
    network, folder = trainer.network, trainer.folder
    last = {name: tensor.clone() for name, tensor in network_tensors(network).items()}
    with trainer.locked():
        for share in SHARES:
            between = {
                name: first[name].to(end).lerp(end, share) if end.is_floating_point() else end
                for name, end in last.items()
            }
            load_network(network, between, folder)
            loss = trainer.validate()["loss"]
            trainer.progress.line(f"{share:.0%} of the trained weights: validation loss {loss:.3f}")
        load_network(network, last, folder)
    return replace(result, best_step=trainer.best_step, best_loss=trainer.best_loss)
