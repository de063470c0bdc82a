"""``python -m insar_anomaly.cli`` is ``insar-anomaly``."""

import sys

from insar_anomaly.cli import main

if __name__ == "__main__":
    sys.exit(main())
