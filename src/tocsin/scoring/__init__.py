"""Models at work: scores and alerts for batches of rows."""
