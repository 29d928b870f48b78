"""The training loop of every network here: accelerate's engine, run folders, optimisers."""
