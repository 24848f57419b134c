"""What a GPU makes of one lane and of many; run it with `python -m tests.benchmarks.gpu`."""
