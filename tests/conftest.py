"""Set before torch and BLAS are imported: tests run beside each other, one thread each.

With more threads than idle cores OpenMP's waiting threads spin against its working ones, and a
suite of seconds takes minutes.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")
# Set by whoever runs the tests side by side; the command line folds its tables by it.
os.environ.pop("COLUMNS", None)

from hypothesis import HealthCheck, settings

# Seconds are measured in tests/benchmarks: a busy machine is no fault of what is tested.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")
