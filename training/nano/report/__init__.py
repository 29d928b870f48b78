"""What nano can do, measured."""
