# SPDX-License-Identifier: Apache-2.0
"""What is measured, compared and shown of a model: bench, verify, fit, pictures, report."""
