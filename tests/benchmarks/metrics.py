"""Exact pixel metrics of a test set: ours against scikit-learn's two calls and an argsort PRO.

Every measurement runs alone in a fresh process with one thread, on the same maps read from disk:
CPU time (user + system) and the peak of resident memory above that of the loaded inputs. Run

    python -m tests.benchmarks.metrics            # 200 maps of 256x256: some 15 s
    python -m tests.benchmarks.metrics --full     # 1725, MVTec AD's test set: minutes, 8 GB
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from scipy import ndimage
from sklearn.metrics import average_precision_score, roc_auc_score

from asbench.evaluation.metrics import pixel_metrics

FULL = 1725
"""The images of MVTec AD's 15 test sets together."""
SIZE = 256
POSITIVE = 0.005
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def make(folder: Path, n: int) -> None:
    """Write n maps, a fifth of them with two elliptic defects: 0.5 % of all pixels, partly found.

    maps.npy: float32 (n, 256, 256), smooth noise with a blob of its own height at every defect,
    displaced from it; masks.npy: bool of the same shape.
    """
    rng = np.random.default_rng(0)
    maps = np.lib.format.open_memmap(folder / "maps.npy", "w+", np.float32, (n, SIZE, SIZE))
    masks = np.lib.format.open_memmap(folder / "masks.npy", "w+", np.bool_, (n, SIZE, SIZE))
    area = 5 * POSITIVE * SIZE**2 / 2
    for i in range(n):
        maps[i] = cv2.GaussianBlur(rng.random((SIZE, SIZE), dtype=np.float32), (0, 0), 2)
        if i % 5:
            continue
        for half in (0, 1):
            stretch = rng.uniform(0.6, 1.6)
            axes = int(np.sqrt(area / np.pi) * stretch), int(np.sqrt(area / np.pi) / stretch)
            centre = int(rng.integers(40, SIZE - 40)), int(rng.integers(40, 88)) + 88 * half
            defect = np.zeros((SIZE, SIZE), np.uint8)
            cv2.ellipse(defect, centre, axes, rng.uniform(0, 180), 0, 360, 1, -1)
            masks[i] |= defect.astype(bool)
            shifted = np.roll(defect, rng.integers(-8, 9, size=2), axis=(0, 1)).astype(np.float32)
            maps[i] += rng.uniform(0, 0.2) * cv2.GaussianBlur(shifted, (0, 0), 4)


def argsort_pro(maps: np.ndarray, masks: np.ndarray, limit: float = 0.3) -> float:
    """Return the exact PRO in the usual way: all pixels put in order, then cumulated changes."""
    gain = np.zeros(maps.size)
    regions = 0
    for index, mask in enumerate(masks):
        labels, count = ndimage.label(mask, structure=np.ones((3, 3)))
        regions += count
        inside = np.flatnonzero(labels)
        number = labels.ravel()[inside]
        gain[index * mask.size + inside] = 1 / np.bincount(number)[number]
    scores = maps.ravel()
    order = np.argsort(scores)[::-1]
    ordered = scores[order]
    ends = np.append(np.flatnonzero(ordered[1:] != ordered[:-1]), scores.size - 1)
    fpr = np.cumsum(~masks.ravel()[order], dtype=np.float64)[ends]
    overlap = np.cumsum(gain[order])[ends] / regions
    fpr = np.append(0, fpr / fpr[-1])
    overlap = np.append(0, overlap)
    at_limit = np.interp(limit, fpr, overlap)
    below = fpr < limit
    x, y = np.append(fpr[below], limit), np.append(overlap[below], at_limit)
    return float(np.trapezoid(y, x) / limit)


def ours(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    found = pixel_metrics(maps, masks)
    return {"auroc": found.auroc, "ap": found.ap, "pro": found.pro}


def sklearn_auroc(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    return {"auroc": float(roc_auc_score(masks.ravel(), maps.ravel()))}


def sklearn_ap(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    return {"ap": float(average_precision_score(masks.ravel(), maps.ravel()))}


def reference_pro(maps: np.ndarray, masks: np.ndarray) -> dict[str, float]:
    return {"pro": argsort_pro(maps, masks)}


OURS = "asbench: AUROC + AP + PRO"
BASELINES = "the three baselines together"
MEASURED: dict[str, Callable[[np.ndarray, np.ndarray], dict[str, float]]] = {
    OURS: ours,
    "scikit-learn roc_auc_score": sklearn_auroc,
    "scikit-learn average_precision_score": sklearn_ap,
    "PRO by argsort": reference_pro,
}


def rows(n: int = 200) -> list[dict[str, Any]]:
    """Measure all on the same n maps; return one row each and one of the baselines together.

    Keys: benchmark, what, maps, cpu_s (user + system), user_s, added_peak_mb, values; the row of
    ours also has `speedup`, the baselines' CPU time over its own, and `largest_difference` of its
    values from theirs.
    """
    with tempfile.TemporaryDirectory() as name:
        _child("--make", name, str(n))
        measured = [json.loads(_child("--measure", name, what)) for what in MEASURED]
    mine, *baselines = measured
    theirs = {metric: v for row in baselines for metric, v in row["values"].items()}
    together = {
        "what": BASELINES,
        "cpu_s": sum(row["cpu_s"] for row in baselines),
        "user_s": sum(row["user_s"] for row in baselines),
        "added_peak_mb": max(row["added_peak_mb"] for row in baselines),
        "values": theirs,
    }
    mine["speedup"] = together["cpu_s"] / mine["cpu_s"]
    mine["largest_difference"] = max(abs(mine["values"][m] - theirs[m]) for m in theirs)
    return [{"benchmark": "metrics", "maps": n} | row for row in [mine, *baselines, together]]


def _child(*arguments: str) -> str:
    """Return what this module prints when run alone with one thread."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.metrics", *arguments],
        cwd=Path(__file__).parents[2],
        env=os.environ | dict.fromkeys(THREADS, "1"),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return done.stdout


def _measure(folder: Path, what: str) -> dict[str, Any]:
    cv2.setNumThreads(1)
    maps, masks = np.load(folder / "maps.npy"), np.load(folder / "masks.npy")
    peak, start = _peak_mb(), resource.getrusage(resource.RUSAGE_SELF)
    values = MEASURED[what](maps, masks)
    end = resource.getrusage(resource.RUSAGE_SELF)
    user, system = end.ru_utime - start.ru_utime, end.ru_stime - start.ru_stime
    return {
        "what": what,
        "cpu_s": user + system,
        "user_s": user,
        "added_peak_mb": _peak_mb() - peak,
        "values": values,
    }


def _peak_mb() -> float:
    """Return this process's peak resident memory; getrusage would count its parent's too."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--full", action="store_true", help=f"{FULL} maps instead of 200")
    parser.add_argument("--make", nargs=2, metavar=("FOLDER", "N"), help=argparse.SUPPRESS)
    parser.add_argument("--measure", nargs=2, metavar=("FOLDER", "WHAT"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.make:
        make(Path(chosen.make[0]), int(chosen.make[1]))
    elif chosen.measure:
        print(json.dumps(_measure(Path(chosen.measure[0]), chosen.measure[1])))
    else:
        for row in rows(FULL if chosen.full else 200):
            print(
                f"{row['what']:40s} {row['cpu_s']:8.2f} s CPU (user {row['user_s']:.2f})"
                f" {row['added_peak_mb']:8.0f} MB added  {row['values']}"
            )
            if "speedup" in row:
                print(f"  {row['speedup']:.1f} times the baselines' speed,", end=" ")
                print(f"values within {row['largest_difference']:.1e}")


if __name__ == "__main__":
    main()
