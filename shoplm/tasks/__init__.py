"""The questions that a shop asks: one file each, and its file name is its name everywhere.

A shop's own stand in the folders that the environment variable ``SHOPLM_TASKS`` names, parted as in ``PATH``.
"""

import os

__path__ += [folder for folder in os.environ.get("SHOPLM_TASKS", "").split(os.pathsep) if folder]
