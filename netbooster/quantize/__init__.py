# SPDX-License-Identifier: Apache-2.0
"""Fine-tuning with the firmware's integer arithmetic."""
