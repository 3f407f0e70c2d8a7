"""Where work runs: engines, and the processes behind the local one."""
