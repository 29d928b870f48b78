"""What the stages are trained with: objectives, examples, attention."""
