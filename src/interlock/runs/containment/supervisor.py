"""The program that a worker starts for every run: `python -I -S …/containment/supervisor.py RUN_MARKER`.

Only the way in: Python compiles its main file anew at every start, so everything else stands in modules that it caches.
"""

import sys

if __name__ == "__main__":
    # Empty stand-ins for the packages above: their own `__init__` files would import what only the worker needs.
    folder = __file__
    for name in ("interlock.runs.containment", "interlock.runs", "interlock"):
        folder = folder.rpartition("/")[0]
        package = type(sys)(name)
        package.__path__ = [folder]
        sys.modules[name] = package

    from interlock.runs.containment import watch

    watch.main()
