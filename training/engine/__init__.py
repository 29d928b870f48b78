"""The training loop of every network here, its run folders, optimisers and progress."""
