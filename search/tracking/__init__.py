"""The MLflow record of sweeps: a projection of the store that can be rebuilt from it at any time.

Importing this package does not import MLflow, which takes seconds; the first sweep that is recorded does.
"""

from search.tracking.interface import ui_command
from search.tracking.projection import Projection
from search.tracking.recorder import Recorder
from search.tracking.run_content import ParentSummary

__all__ = ["ParentSummary", "Projection", "Recorder", "ui_command"]
