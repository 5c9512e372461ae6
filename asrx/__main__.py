"""`python -m asrx`, as MLproject calls it: the package need not be installed."""

from .cli import main

if __name__ == "__main__":
    main()
