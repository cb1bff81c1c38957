"""`helm template` by Helm's own engine: helm_template.py CHART NAME <values.json >out.json."""

import json
import sys

import helm_python

chart, name = sys.argv[1:]
values = json.load(sys.stdin)
with helm_python.Chart.load(chart) as loaded:
    try:
        loaded.validate_schema(loaded.merge_values(values))
        manifests = loaded.render(values, name=name, namespace="kpi-agent")
    except helm_python.HelmError as error:
        sys.exit(str(error))
json.dump(manifests, sys.stdout)
