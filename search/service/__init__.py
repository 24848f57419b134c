"""The service: sweeps that are submitted to a queue, run by workers, and watched and steered from anywhere."""
