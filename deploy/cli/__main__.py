"""`python -m deploy.cli`: the same as the `netbooster` command."""

from deploy.cli import main

main()
