"""The time budget: the clock, what fits, the forecast, and a run of all stages."""
