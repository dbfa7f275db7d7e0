"""One thread a test process, and in every process that a test starts.

Test processes run side by side (pytest-xdist). OpenMP's threads spin while they wait for each
other, so that two processes with two threads each on two cores take minutes for seconds of work.
"""

import os

os.environ["OMP_NUM_THREADS"] = "1"

import torch  # noqa: E402 - OpenMP reads the variable when it is loaded

torch.set_num_threads(1)
