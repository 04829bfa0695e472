"""The alert rules on a live Prometheus: a whole installation under a steady load, in which all of them stay silent
(`make alerts`), and the same with trouble planted, which they tell."""
