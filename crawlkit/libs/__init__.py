"""The words every component speaks. Pure: computes and collects, sends nothing."""
