# SPDX-License-Identifier: Apache-2.0
"""What every room of deploy uses: its error, atomic files, stamps of finished stages."""
