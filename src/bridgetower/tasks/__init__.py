"""The tasks."""

from .tasks_old import *  # noqa: F403
