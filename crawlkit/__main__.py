"""``python -m crawlkit``."""

from crawlkit.start import main

if __name__ == "__main__":
    main()
