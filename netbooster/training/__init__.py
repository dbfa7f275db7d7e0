"""The training loop: phases, optimizers, checkpoints, evaluation, many processes."""
