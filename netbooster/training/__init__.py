# SPDX-License-Identifier: Apache-2.0
"""The training loop: phases, optimizers, checkpoints, evaluation, many processes."""
