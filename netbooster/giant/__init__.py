# SPDX-License-Identifier: Apache-2.0
"""Making the deep giant of any ``nn.Module``, linearizing it and contracting it back."""
