{{- /* The groups of rules of deploy/alerts, for this release alone: every metric in a query is of the namespace, which
labels the alert too. */}}
{{- define "streamflow.rules" -}}
{{- $namespace := printf "namespace=%q" .Release.Namespace }}
{{- $base := .Values.monitoring.rules.runbookBase | trimSuffix "/" }}
{{- range $path, $bytes := .Files.Glob "files/alerts/*.yaml" }}
{{- range $group := get ($.Files.Get $path | fromYaml) "groups" }}
{{- range $rule := $group.rules }}
{{- $query := regexReplaceAll "\\b(streamflow_[a-z0-9_]+)\\{" $rule.expr (printf "${1}{%s," $namespace) }}
{{- $query = regexReplaceAll "\\b(streamflow_[a-z0-9_]+)([^a-z0-9_{]|$)" $query (printf "${1}{%s}${2}" $namespace) }}
{{- $_ := set $rule "expr" $query }}
{{- $_ := set $rule.labels "namespace" $.Release.Namespace }}
{{- if $base }}{{ $_ := set $rule.annotations "runbook_url" (printf "%s/%s" $base $rule.annotations.runbook) }}{{ end }}
{{- end }}
{{ toYaml (list $group) }}
{{- end }}
{{- end }}
{{- end }}
