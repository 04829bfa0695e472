"""Coverage-guided fuzzing of everything that reads what strangers write.

`make fuzz` gives each target its share of INPUTS mutated inputs, made by libFuzzer (atheris) from those of `seeds.py`.
An input is a finding if it raises what its target may not raise, takes longer than a second of processor time, or takes
the process 200 MB above its start. A finding is kept in `found/<target>`, where the unit tests play it ever after.
"""
