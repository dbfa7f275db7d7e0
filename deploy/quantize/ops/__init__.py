# SPDX-License-Identifier: Apache-2.0
"""One file for each kind of operator. Importing this package fills the register of lowerings.

To add an operator: a class derived from ``FloatOp`` (``run``, ``emit``, and ``legalize``, ``ties``
or ``fixed_output`` where they apply) and a function decorated with ``@lowers(...)``, in a new file
that is imported here.
"""

from deploy.quantize.ops import (
    activation,
    concatenation,
    conv,
    elementwise,
    fully_connected,
    mean,
    norm,
    pad,
    pool,
    reshape,
    shape,
    softmax,
)

__all__ = [
    "activation",
    "concatenation",
    "conv",
    "elementwise",
    "fully_connected",
    "mean",
    "norm",
    "pad",
    "pool",
    "reshape",
    "shape",
    "softmax",
]
