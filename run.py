#!/usr/bin/env python3
"""The command line without installing: ``./run.py one examples/postgres_manual.py``."""

from crawlkit.start import main

if __name__ == "__main__":
    main()
