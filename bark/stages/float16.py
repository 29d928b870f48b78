"""Multiplies a few float32 rows by weights that float16 holds exactly, as nano's are stored.

A step of a small network waits for its weights: FBGEMM keeps them in float16 and computes in
float32, so half the bytes give the same numbers but for the order of sums, in half the time that
MKL takes for one row. torch warns that it is about to remove the operator: it is in this file only,
and without it `packed` gives None."""

import warnings
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch

FEW = 16  # rows; more of them MKL multiplies as quickly


@dataclass(frozen=True)
class Float16Weight:
    """A weight (out, in), also as FBGEMM lays it out."""

    weight: torch.Tensor
    matrix: torch.Tensor
    zeros: torch.Tensor  # (out,), for a product to which nothing is added

    def multiply(self, rows: torch.Tensor) -> torch.Tensor:
        """Multiply rows (N, in) → (N, out)."""
        # not len(rows), which takes as long as adding them
        if rows.shape[0] > FEW:
            return torch.mm(rows, self.weight.t())
        return _multiplied(rows, self.matrix, self.zeros)

    def add(self, residual: torch.Tensor, rows: torch.Tensor) -> torch.Tensor:
        """Multiply rows (N, in) and add the residual (N, out)."""
        if rows.shape[0] > FEW:
            return torch.addmm(residual, rows, self.weight.t())
        if rows.shape[0] == 1:
            return _multiplied(rows, self.matrix, residual[0])
        return residual + self.multiply(rows)


def packed(weight: torch.Tensor) -> Float16Weight | None:
    """Lay out a weight (out, in); None where float16 would change it or torch cannot do it."""
    able = weight.is_cpu and weight.dtype == torch.float32 and has_operator()
    if not able or not torch.equal(weight.half().float(), weight):
        return None
    matrix = torch.fbgemm_pack_gemm_matrix_fp16(weight)
    return Float16Weight(weight, matrix, torch.zeros(len(weight)))


@lru_cache
def has_operator() -> bool:
    """Tell whether torch has the operator, and it computes in float32."""
    weight = torch.eye(64)
    rows = torch.arange(1.0, 129).view(2, 64) / 3
    try:
        with warnings.catch_warnings():  # torch says once that the operator is to go
            warnings.simplefilter("ignore")
            matrix = torch.fbgemm_pack_gemm_matrix_fp16(weight)
            found = _multiplied(rows, matrix, torch.zeros(64))
    except (AttributeError, RuntimeError, NotImplementedError):
        return False
    return torch.equal(found, rows)


def _multiplied(rows: torch.Tensor, matrix: torch.Tensor, added: torch.Tensor) -> Any:
    return torch.fbgemm_linear_fp16_weight_fp32_activation(rows, matrix, added)
