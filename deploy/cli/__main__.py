# SPDX-License-Identifier: Apache-2.0
"""`python -m deploy.cli`: the same as the `netbooster` command."""

from deploy.cli import main

main()
