"""Processor, memory, disk, network and GPU beside the curves of a run."""

import threading
import time
from collections.abc import Callable
from typing import Any

PERIOD = 10.0  # s between samples


class SystemMetrics:
    """MLflow's own monitors, sampled into the journal: step = seconds since the start of the run."""

    def __init__(self, record: Callable[[dict[str, float], int], None], started: float) -> None:
        self._record, self._started = record, started
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def start(self) -> None:
        """Sample until `stop`."""
        self._thread = threading.Thread(target=self._loop, name="asrx-system", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Wait for the last sample."""
        if self._thread:
            self._stop.set()
            self._thread.join()

    def _loop(self) -> None:
        monitors = self._monitors()
        while True:
            for monitor in monitors:
                monitor.collect_metrics()
                values = {f"system/{key}": float(value) for key, value in monitor.aggregate_metrics().items()}
                self._record(values, int(time.time() - self._started))
                monitor.clear_metrics()
            if self._stop.wait(PERIOD):
                return

    def _monitors(self) -> list[Any]:
        from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
        from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
        from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
        from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor

        monitors = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
        try:
            return [*monitors, GPUMonitor()]
        except Exception:  # without an NVIDIA driver or its Python binding there is nothing to sample
            return monitors
