"""An LSTM over utterances of different lengths that computes nothing on padding.

torch's own LSTM computes on padding, and on a CPU its backward pass in bfloat16 is as slow as in
float32 (torch 2.13). Here all utterances of a batch take their steps together, the longest first,
and drop out as they end; what needs no earlier step is one large matrix product before or after the
steps."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

ATEN = torch.ops.aten  # its out-variants write into views


@dataclass(frozen=True)
class Packing:
    """In which order the N frames of a batch, utterance after utterance, are read by an LSTM."""

    sizes: Tensor  # (S,) int64: how many utterances have a frame at each step; never rises
    forwards: Tensor  # (N,) int64: the row each step reads, all first frames before all second ones
    backwards: Tensor  # (N,) int64: the same from the end of each utterance to its start

    @classmethod
    def of(cls, lengths: Tensor) -> "Packing":
        """Return the packing of utterances of these lengths, (B,), each at least 1.

        >>> Packing.of(torch.tensor([1, 3])).forwards.tolist()
        [1, 0, 2, 3]
        """
        order = lengths.argsort(descending=True, stable=True)
        first = (lengths.cumsum(0) - lengths)[order]  # (B,) row of each utterance's first frame
        lasting = lengths[order]
        step = torch.arange(int(lasting[0]), device=lengths.device)[:, None]  # (S, 1)
        inside = step < lasting  # (S, B)
        return cls(inside.sum(1), (first + step)[inside], (first + lasting - 1 - step)[inside])


def run_lstm(lstm: nn.Module, rows: Tensor, packing: Packing, *, reverse: bool = False) -> Tensor:
    """Run an LSTM over each utterance.

    Parameters
    ----------
    lstm : nn.LSTM
        Of one direction and any number of layers.
    rows : (N, D), all frames, utterance after utterance.
    reverse : read each utterance from its end.

    Returns
    -------
    (N, H), row by row what the last layer made of it; in the dtype of autocast, where that is
    on."""
    order = packing.backwards if reverse else packing.forwards
    taken, kind = (
        rows.index_select(0, order),
        rows.device.type,
    )  # its gradient is quicker than indexing's
    weights: Any = lstm.all_weights
    if kind == "cuda":
        hidden = lstm(PackedSequence(taken, packing.sizes.cpu())).data
    else:
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else rows.dtype
        sizes, hidden = packing.sizes.tolist(), taken
        for w_ih, w_hh, b_ih, b_hh in weights:
            bias = (b_ih + b_hh).to(dtype)
            hidden = _Layer.apply(hidden.to(dtype), w_ih.to(dtype), w_hh.to(dtype), bias, sizes)
    return torch.zeros_like(hidden).index_copy(0, order, hidden)


class _Layer(torch.autograd.Function):
    """One LSTM layer over packed rows; the gates lie in torch's order: input, forget,
    cell, output.
    """

    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, w_ih: Tensor, w_hh: Tensor, bias: Tensor, sizes: list[int]
    ) -> Tensor:
        width = w_hh.shape[1]
        gates = torch.addmm(bias, rows, w_ih.t())  # (N, 4H)
        states = gates.new_empty(
            len(gates), width, dtype=torch.promote_types(gates.dtype, torch.float32)
        )
        outputs = gates.new_empty(len(gates), width)
        step, state, output = gates.split(sizes), states.split(sizes), outputs.split(sizes)
        i, f, g, o = _four(gates, sizes)
        recurrent = w_hh.t()
        for t, n in enumerate(sizes):
            if t:
                step[t].addmm_(output[t - 1][:n], recurrent)
            step[t][:, : 2 * width].sigmoid_()
            g[t].tanh_()
            o[t].sigmoid_()
            torch.mul(i[t], g[t], out=state[t])
            if t:
                state[t].addcmul_(f[t], state[t - 1][:n])
            torch.mul(o[t], state[t].tanh(), out=output[t])
        ctx.save_for_backward(rows, w_ih, w_hh, gates, states, outputs)
        ctx.sizes = sizes
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, w_ih, w_hh, gates, states, outputs = ctx.saved_tensors
        sizes, width = ctx.sizes, w_hh.shape[1]
        found = torch.empty_like(gates)  # of the loss by each gate before its sigmoid or tanh
        step, state, given = found.split(sizes), states.split(sizes), gradients[0].split(sizes)
        i, f, g, o = _four(gates, sizes)
        by_i, by_f, by_g, by_o = _four(found, sizes)
        all_h = gates.new_zeros(sizes[0], width)  # by the output and the state of the step at hand
        all_c = states.new_zeros(sizes[0], width)
        for t in range(len(sizes) - 1, -1, -1):
            n = sizes[t]
            h, c = all_h[:n].add_(given[t]), all_c[:n]
            bent = state[t].tanh().to(gates.dtype)
            ATEN.sigmoid_backward.grad_input(h * bent, o[t], grad_input=by_o[t])
            c.add_(ATEN.tanh_backward(h * o[t], bent))
            plain = c.to(gates.dtype)
            ATEN.sigmoid_backward.grad_input(plain * g[t], i[t], grad_input=by_i[t])
            ATEN.tanh_backward.grad_input(plain * i[t], g[t], grad_input=by_g[t])
            if t == 0:
                by_f[t].zero_()
                break
            before = state[t - 1][:n].to(gates.dtype)
            ATEN.sigmoid_backward.grad_input(plain * before, f[t], grad_input=by_f[t])
            c.mul_(f[t])
            torch.mm(step[t], w_hh, out=h)
        earlier = [output[:n] for output, n in zip(outputs.split(sizes), sizes[1:], strict=False)]
        by_w_hh = found[sizes[0] :].t() @ torch.cat(earlier) if earlier else torch.zeros_like(w_hh)
        by_rows = found @ w_ih if ctx.needs_input_grad[0] else None
        return by_rows, found.t() @ rows, by_w_hh, found.sum(0), None


def _four(gates: Tensor, sizes: list[int]) -> list[tuple[Tensor, ...]]:
    """Return views of the four gates, (n, H) for each step."""
    return [gate.split(sizes) for gate in gates.view(len(gates), 4, -1).unbind(1)]
