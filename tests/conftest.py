"""One torch thread a test process; where the check files and data sets stand."""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
