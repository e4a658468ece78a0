"""Training: arguments, the Trainer, and what builds data and model from an experiment.

Nothing is imported here, so that `program` can set up Paddle for a CPU before Paddle is imported.
"""
