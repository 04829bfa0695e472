"""The export of spans to OpenTelemetry. Nothing of the SDK is imported before `tracing.endpoint` is set."""
