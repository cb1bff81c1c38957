{{- define "kpi-agent.selector" -}}
app.kubernetes.io/name: kpi-agent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "kpi-agent.image" -}}
{{- if .Values.image.digest -}}
{{ .Values.image.repository }}@{{ .Values.image.digest }}
{{- else -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{- define "kpi-agent.rules" -}}
{{- if .Values.rules.files }}{{ .Release.Name }}-rules-files{{ else }}{{ .Values.rules.configMap }}{{ end -}}
{{- end }}

{{- define "kpi-agent.probe" -}}
path: {{ .path }}, port: web{{ if eq .scheme "HTTPS" }}, scheme: HTTPS{{ end }}
{{- end }}
