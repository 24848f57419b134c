"""How lanes are executed, behind `trainers.training.train`."""
