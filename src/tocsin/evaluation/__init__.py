"""How good a model is: measures, trivial baselines, report, plots, gate."""
