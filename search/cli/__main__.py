"""``python -m search.cli``: the command line, for where it is on no PATH."""

from search.cli.app import main

main()
