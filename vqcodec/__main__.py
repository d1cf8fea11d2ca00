"""`python -m vqcodec`."""

from vqcodec.cli import main

main()
