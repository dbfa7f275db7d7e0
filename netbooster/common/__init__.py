# SPDX-License-Identifier: Apache-2.0
"""What every room uses: errors, atomic files, budgets, seeds."""
