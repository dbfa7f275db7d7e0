"""One thread a test process: torch's thread pool on small tensors costs more than it gains."""

import torch

torch.set_num_threads(1)
