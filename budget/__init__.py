"""Every second of a run: the clock, what fits, the forecast, and the run over all stages."""
