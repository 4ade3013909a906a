"""From scores to p-values and flags. Fitted once on calibration rows, fixed afterwards."""
