"""The files under deploy/: the compose file, the chart and the dashboards, checked without a container engine or a
cluster.

`python -m tests.deploy.chart` renders the chart for each file of `values` into `rendered` (it needs helm, which it
builds once into the cache folder)."""
