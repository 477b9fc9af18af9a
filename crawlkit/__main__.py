"""``python -m crawlkit``."""

from crawlkit.cli import main

if __name__ == "__main__":
    main()
