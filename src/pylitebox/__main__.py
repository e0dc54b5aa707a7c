"""``python -m pylitebox``."""

import sys

from pylitebox.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
